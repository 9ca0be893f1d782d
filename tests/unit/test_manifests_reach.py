"""What the trial of a cluster's NetworkPolicies tries, and what it takes for right."""

import pytest

from deploy.kubernetes.arrows import PARTS, THE_INGRESS, THE_MONITORING, arrows
from deploy.kubernetes.reach import INSIDE, OUTSIDE, OUTSIDER, PORTS, STRANGER, THE_API, is_drawn, ways, wrong
from deploy.kubernetes.render import OVERLAYS

EVERY_WAY = {(source, *way) for source in (*INSIDE, *OUTSIDE) for way in ways(source)}

every_overlay = pytest.mark.parametrize("overlay", OVERLAYS)


@every_overlay
def test_every_arrow_between_two_parts_is_tried(overlay: str) -> None:
    between_two = {(a, b, port) for a, b, port in arrows(overlay) if a != b and {a, b} <= {*PARTS, *OUTSIDE}}

    assert between_two <= EVERY_WAY


def test_every_part_tries_every_other_on_all_ports_and_so_do_strangers() -> None:
    pairs = {(source, target) for source in (*INSIDE, *OUTSIDE) for target in INSIDE if source != target}

    assert {(*pair, port) for pair in pairs for port in PORTS} <= EVERY_WAY


@every_overlay
def test_a_stranger_is_led_nowhere_by_an_arrow(overlay: str) -> None:
    assert not {way for way in EVERY_WAY if {STRANGER, OUTSIDER} & set(way[:2]) and is_drawn(overlay, *way)}


@every_overlay
def test_the_namespaces_with_a_label_get_to_the_ports_that_are_theirs(overlay: str) -> None:
    assert is_drawn(overlay, THE_INGRESS, "gateway", 8080)
    assert not is_drawn(overlay, THE_INGRESS, "gateway", 9090)
    assert is_drawn(overlay, THE_MONITORING, "quota", 9090)
    assert not is_drawn(overlay, THE_MONITORING, "gateway", 8080)


def test_who_may_go_anywhere_may_reach_the_clusters_api_and_need_not() -> None:
    to_the_api = ("quota", THE_API, 443)

    assert is_drawn("dev", *to_the_api)
    assert not is_drawn("dev", "gateway", THE_API, 443)
    assert not is_drawn("dev", "postgres", THE_API, 443)
    assert wrong("dev", {to_the_api}, {to_the_api}) == wrong("dev", {to_the_api}, set()) == ([], [])


def test_what_is_open_without_an_arrow_and_what_is_closed_with_one_are_both_wrong() -> None:
    tried = {("auth", "postgres", 5432), ("gateway", "postgres", 5432), ("gateway", "nats", 4222)}

    assert wrong("dev", tried, {("auth", "postgres", 5432), ("gateway", "nats", 4222)}) == ([], [])
    assert wrong("dev", tried, {("gateway", "postgres", 5432), ("gateway", "nats", 4222)}) == (
        [("gateway", "postgres", 5432)],
        [("auth", "postgres", 5432)],
    )
