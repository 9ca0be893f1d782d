"""The NetworkPolicies let through exactly the arrows of the design's picture, seen from both ends, and nothing else."""

from collections.abc import Iterator
from typing import Any

import pytest

from deploy.kubernetes.arrows import (
    DRAWN,
    FROM_OUTSIDE,
    FROM_OUTSIDE_IN_PRODUCTION_TOO,
    IN_PRODUCTION_TOO,
    OUT,
    OUT_IN_PRODUCTION,
    USES_NATS,
    USES_POSTGRES,
    Arrow,
)
from deploy.kubernetes.render import OVERLAYS
from tests.support.manifests import OURS, compose_services, container, of_kind, part, workloads
from wepeople_provision.nats_users import USERS

NAMES = ("everybody", "namespace kubernetes.io/metadata.name=kube-system", 53)

every_overlay = pytest.mark.parametrize("overlay", OVERLAYS)


@every_overlay
def test_nobody_may_do_anything_that_no_policy_allows(overlay: str) -> None:
    [nothing] = [policy for policy in of_kind(overlay, "NetworkPolicy") if policy["metadata"]["name"] == "nothing"]

    assert nothing["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


@every_overlay
def test_the_ways_within_the_namespace_are_the_arrows_from_both_ends(overlay: str) -> None:
    drawn = DRAWN | (IN_PRODUCTION_TOO if overlay == "production" else set())

    assert {arrow for arrow in outgoing(overlay) if _is_inside(arrow[1])} == drawn
    assert {arrow for arrow in incoming(overlay) if _is_inside(arrow[0])} == drawn


@every_overlay
def test_from_outside_come_only_the_ingress_and_the_monitoring(overlay: str) -> None:
    drawn = FROM_OUTSIDE | (FROM_OUTSIDE_IN_PRODUCTION_TOO if overlay == "production" else set())

    assert {arrow for arrow in incoming(overlay) if not _is_inside(arrow[0])} == drawn


@every_overlay
def test_outside_there_are_names_for_all_and_what_production_needs(overlay: str) -> None:
    drawn = {NAMES} | OUT | (OUT_IN_PRODUCTION if overlay == "production" else set())

    assert {arrow for arrow in outgoing(overlay) if not _is_inside(arrow[1])} == drawn


def test_whoever_may_reach_nats_is_a_user_of_it_and_the_other_way_round() -> None:
    # Who trims is an operator with another credential.
    assert USERS.keys() - {"trimmer"} == USES_NATS


@pytest.mark.parametrize(("server", "users"), [("nats", USES_NATS), ("postgres", USES_POSTGRES)])
def test_the_networks_of_compose_bring_the_same_parts_to_a_server(server: str, users: set[str]) -> None:
    services = compose_services()
    networks = set(services[server]["networks"])

    together = {part for part in OURS if networks & set(services[part]["networks"])}
    # An analyst's projections run wherever the analyst keeps them running.
    assert together == users - {"analyst"}


@every_overlay
def test_a_port_that_a_policy_opens_is_one_that_the_container_has(overlay: str) -> None:
    ports = {
        (part(document), port["containerPort"])
        for where, document in workloads()
        if where == overlay
        for port in container(document).get("ports", [])
    }
    here = {name for name, _ in ports}

    opened = {(to, port) for _, to, port in DRAWN | FROM_OUTSIDE if to in here}
    assert opened <= ports
    # The NATS server's own page of figures is for the kubelet's probes alone.
    assert ports - opened == ({("nats", 8222)} if overlay == "dev" else set())


def outgoing(overlay: str) -> set[Arrow]:
    return set(_arrows(overlay, "egress", "to"))


def incoming(overlay: str) -> set[Arrow]:
    return {(other, own, port) for own, other, port in _arrows(overlay, "ingress", "from")}


def _arrows(overlay: str, direction: str, side: str) -> Iterator[Arrow]:
    for policy in of_kind(overlay, "NetworkPolicy"):
        spec = policy["spec"]
        if direction in spec:
            assert direction.capitalize() in spec["policyTypes"], "a rule that is not in force"
        for rule in spec.get(direction, []):
            assert rule[side], "an empty list lets everybody through"
            assert rule["ports"], "no port means all of them"
            for own in _parts(spec["podSelector"]):
                for peer in rule[side]:
                    for other in _peers(peer):
                        yield from ((own, other, port["port"]) for port in rule["ports"])


def _peers(peer: dict[str, Any]) -> list[str]:
    if "ipBlock" in peer:
        return [peer["ipBlock"]["cidr"]]
    if "namespaceSelector" in peer:
        [(key, value)] = peer["namespaceSelector"]["matchLabels"].items()
        return [f"namespace {key}={value}"]
    return _parts(peer["podSelector"])


def _parts(selector: dict[str, Any]) -> list[str]:
    if not selector:
        return ["everybody"]
    if "matchLabels" in selector:
        assert selector.keys() == {"matchLabels"}
        assert selector["matchLabels"].keys() == {"wepeople.io/part"}
        return [selector["matchLabels"]["wepeople.io/part"]]
    [expression] = selector["matchExpressions"]
    assert (expression["key"], expression["operator"]) == ("wepeople.io/part", "In")
    return list(expression["values"])


def _is_inside(name: str) -> bool:
    return name in USES_NATS | {"nats", "postgres"}
