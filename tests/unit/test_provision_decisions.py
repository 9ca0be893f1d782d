"""What the provisioner decides before it touches anything."""

import json
from typing import Any

import pytest

from wepeople_provision.change import Change, as_json, as_text
from wepeople_provision.dsn import login_dsn
from wepeople_provision.stream_plan import (
    BUCKET_SETTINGS,
    SETTINGS,
    Existing,
    StreamPlan,
    Wishes,
    plan_bucket,
    plan_streams_there,
    refuse_other_streams,
)

ALL = {"subjects": ["ingest.*.*.*.*"]}


def plan(config: dict[str, Any], stored_bytes: int = 0, **wishes: int) -> StreamPlan:
    (only,) = plan_streams_there({"INGEST": Existing(ALL | config, stored_bytes)}, Wishes(**wishes))
    return only


def refusals(plan: StreamPlan) -> dict[str, str]:
    return {difference.name: difference.refused for difference in plan.differences if difference.refused}


def test_a_missing_stream_is_created_with_every_setting_of_the_contract() -> None:
    (new,) = plan_streams_there({}, Wishes())
    assert new.create is not None
    assert new.create["duplicate_window"] == 600 * 10**9
    assert new.create["subjects"] == ["ingest.*.*.*.*"]
    assert new.create["consumer_limits"] == {"inactive_threshold": 60 * 10**9}
    assert new.create["num_replicas"] == 1
    assert new.update is None
    assert new.changes == [Change("stream", "INGEST", "create")]


def test_a_deployment_may_begin_with_several_streams_that_share_the_partitions_evenly() -> None:
    new = plan_streams_there({}, Wishes(streams=8, replicas=3))
    assert [plan.name for plan in new] == ["INGEST", *(f"INGEST_{first}" for first in range(2, 16, 2))]
    assert [plan.create["subjects"] for plan in new if plan.create][5] == ["ingest.10.*.*.*", "ingest.11.*.*.*"]
    assert {plan.replicas for plan in new} == {3}


HALF = Existing(SETTINGS | {"subjects": [f"ingest.{p}.*.*.*" for p in range(8)]})
OTHER = Existing(SETTINGS | {"subjects": [f"ingest.{p}.*.*.*" for p in range(8, 16)]})
MIRROR = Existing(SETTINGS | {"mirror": {"name": "INGEST"}})


@pytest.mark.parametrize(
    ("there", "wished", "said"),
    [
        ({}, 4, []),
        ({"INGEST": HALF, "INGEST_8": OTHER}, 2, []),
        ({"INGEST": HALF, "INGEST_8": OTHER}, None, []),
        ({"INGEST": HALF, "INGEST_8": OTHER}, 4, ["wepeople stream split --into 4"]),
        ({"INGEST": HALF, "INGEST_8": OTHER}, 1, ["set WEPEOPLE_STREAMS to 2"]),
        ({"INGEST": HALF, "INGEST_8": MIRROR}, None, []),
        ({"INGEST": HALF}, None, ["wepeople stream restore"]),
    ],
)
def test_whose_partitions_are_whose_is_not_the_provisioners_to_change(
    there: dict[str, Existing], wished: int | None, said: list[str]
) -> None:
    refused = refuse_other_streams(there, Wishes(streams=wished))
    assert len(refused) == len(said)
    assert all(words in change.refused for change, words in zip(refused, said, strict=True))


def test_a_mirror_is_left_alone() -> None:
    assert [plan.name for plan in plan_streams_there({"INGEST": HALF, "INGEST_8": MIRROR}, Wishes())] == ["INGEST"]


def test_a_stream_that_is_as_it_should_be_is_left_alone() -> None:
    as_it_is = plan(SETTINGS | {"num_replicas": 3, "metadata": {"by": "the server"}})
    assert (as_it_is.create, as_it_is.update, as_it_is.changes) == (None, None, [])


def test_settings_that_the_server_leaves_out_because_they_are_false_are_no_difference() -> None:
    answered = {name: value for name, value in SETTINGS.items() if value not in (False, 0)}
    assert plan(answered).differences == []


def test_wrong_settings_are_corrected_and_what_is_not_ours_is_kept() -> None:
    mended = plan(SETTINGS | {"duplicate_window": 2 * 10**9, "num_replicas": 3})
    assert [str(difference) for difference in mended.differences] == ["duplicate_window 2000000000 -> 600000000000"]
    assert mended.update is not None
    assert (mended.update["duplicate_window"], mended.update["num_replicas"]) == (600 * 10**9, 3)


def test_a_stream_without_limits_of_consumers_gets_them() -> None:
    absent = {name: value for name, value in SETTINGS.items() if name != "consumer_limits"}
    for config in (absent, absent | {"consumer_limits": {}}):
        assert [difference.name for difference in plan(config).differences] == ["consumer_limits"]


def test_the_bucket_has_as_many_copies_as_the_stream() -> None:
    for config, wishes, replicas in (
        (SETTINGS | {"num_replicas": 3}, {}, 3),
        (SETTINGS | {"num_replicas": 1}, {"replicas": 3}, 3),
        (SETTINGS, {}, 1),
    ):
        assert plan(config, **wishes).replicas == replicas
    bucket = plan_bucket(Existing(BUCKET_SETTINGS | {"num_replicas": 1}), 3)
    assert [change.what for change in bucket.changes] == ["num_replicas 1 -> 3"]
    new = plan_bucket(None, 3)
    assert new.create is not None
    assert new.create["num_replicas"] == 3


def test_how_much_the_stream_may_hold_is_the_deployments_wish_and_without_one_there_is_no_limit() -> None:
    assert [c.what for c in plan(SETTINGS, 10, max_bytes=1000).changes] == ["max_bytes -1 -> 1000"]
    assert [c.what for c in plan(SETTINGS | {"max_bytes": 1000}, 10).changes] == ["max_bytes 1000 -> -1"]


def test_a_limit_below_what_is_stored_is_refused() -> None:
    assert "holds 1001 bytes" in refusals(plan(SETTINGS, 1001, max_bytes=1000))["max_bytes"]
    assert refusals(plan(SETTINGS, 1000, max_bytes=1000)) == {}


@pytest.mark.parametrize(
    ("setting", "found", "fixed"),
    [
        ("storage", "memory", True),
        ("deny_purge", True, True),
        ("deny_delete", True, True),
        ("retention", "workqueue", True),
        ("retention", "interest", False),
        ("discard", "old", False),
        ("max_age", 10**9, False),
    ],
)
def test_what_a_running_stream_cannot_change_is_known_and_says_what_to_do(
    setting: str, found: Any, fixed: bool
) -> None:
    refused = refusals(plan(SETTINGS | {setting: found}))
    assert (set(refused) == {setting}) is fixed
    assert all("wepeople stream backup" in reason for reason in refused.values())


def test_a_plan_is_printed_for_people_and_for_scripts() -> None:
    changes = plan(SETTINGS | {"storage": "memory"}, max_bytes=5).changes
    assert as_text(changes).splitlines()[:2] == [
        'stream INGEST: set storage "memory" -> "file"',
        f"  refused: {changes[0].refused}",
    ]
    assert as_text([]) == "Nothing to change."
    assert json.loads(as_json(changes))["changes"][1] == {
        "part": "stream",
        "name": "INGEST",
        "verb": "set",
        "what": "max_bytes -1 -> 5",
        "refused": "",
    }


def test_the_address_for_another_login_keeps_the_server_and_quotes_the_password() -> None:
    admin = "host=10.0.0.5 port=6543 dbname=wepeople user=postgres"
    assert login_dsn(admin, "reader", "p/w@1") == "postgresql://reader:p%2Fw%401@10.0.0.5:6543/wepeople"
    assert login_dsn(admin, "reader", "x", "other").endswith("/other")
