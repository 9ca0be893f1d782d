"""The month's events: accepted in order until it is full, and what a client is told then."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support.client import client, refusal
from tests.support.operators import EVENT_TYPE, Caller, Operators, make_plan
from tests.support.system import RunningSystem

pytestmark = pytest.mark.usefixtures("unharmed")

MONTH = 10
SNAPSHOT = json.dumps({"snapshotType": "q", "actor": {"externalId": "eng-17"}, "metrics": {"a": 1}}).encode()


@pytest.fixture
async def small(system: RunningSystem, operator: Operators) -> Caller:
    """A new org whose month has ten events."""
    await make_plan(system.admin_dsn, "test_small_month", max_events_per_month=MONTH)
    return await operator.caller("test_small_month")


def events(count: int, **changes: Any) -> list[dict[str, Any]]:
    row = {"eventType": EVENT_TYPE, "category": "code", "actor": {"externalId": "eng-17"}}
    return [row | {"metadata": {"row": number}} | changes for number in range(count)]


def next_month() -> str:
    now = datetime.now(UTC)
    year, month = (now.year + 1, 1) if now.month == 12 else (now.year, now.month + 1)
    return f"{year}-{month:02}-01T00:00:00Z"


async def test_a_request_that_does_not_fit_is_accepted_as_far_as_it_fits(
    system: RunningSystem, operator: Operators, small: Caller
) -> None:
    async with client(system.gateway_url, small.token) as api:
        answer = await api.events(events(15))
    assert answer.status == 207, answer
    said = answer.json()
    assert (said["accepted"], said["rejected"]) == (MONTH, 5)
    assert [r["status"] for r in said["results"]] == ["accepted"] * MONTH + ["rejected"] * 5
    assert {r["error"]["code"] for r in said["results"][MONTH:]} == {"plan_limit"}
    usage = await operator.usage(small.org_id)
    assert usage.used + usage.reserved == MONTH


async def test_when_the_month_has_run_out_events_are_402_and_say_until_when(
    system: RunningSystem, small: Caller
) -> None:
    async with client(system.gateway_url, small.token) as api:
        assert (await api.events(events(MONTH))).status == 202
        answer = await api.events(events(1))
        error = refusal(answer, 402, "plan_limit")
        assert error["resetAt"] == next_month()
        assert "Retry-After" not in answer.headers
        assert (await api.post("/snapshots", SNAPSHOT)).status == 202, "snapshots cost no events"
        assert (await api.ping()).status == 200


async def test_a_retry_is_replayed_although_the_month_has_run_out_meanwhile(
    system: RunningSystem, operator: Operators, small: Caller
) -> None:
    async with client(system.gateway_url, small.token) as api:
        first = await api.events(events(4), "first")
        assert (await api.events(events(6))).status == 202
        refusal(await api.events(events(1)), 402, "plan_limit")
        again = await api.events(events(4), "first")
        assert (again.status, again.body) == (202, first.body)
        assert again.headers["Idempotent-Replayed"] == "true"
        refusal(await api.events(events(4), "another"), 402, "plan_limit")
    usage = await operator.usage(small.org_id)
    assert usage.used + usage.reserved == MONTH


async def test_a_402_is_not_replayed(system: RunningSystem, small: Caller) -> None:
    async with client(system.gateway_url, small.token) as api:
        assert (await api.events(events(MONTH))).status == 202
        for _ in range(2):
            answer = await api.events(events(1), "refused")
            refusal(answer, 402, "plan_limit")
            assert "Idempotent-Replayed" not in answer.headers


async def test_rejected_rows_cost_nothing(system: RunningSystem, operator: Operators, small: Caller) -> None:
    async with client(system.gateway_url, small.token) as api:
        for _ in range(3):
            assert (await api.events(events(20, actor={}))).status == 400
        answer = await api.events(events(MONTH - 1) + events(5, actor={}))
    assert answer.status == 207
    usage = await operator.usage(small.org_id)
    assert usage.used + usage.reserved == MONTH - 1


async def test_racing_requests_never_overdraw_the_month(
    system: RunningSystem, operator: Operators, small: Caller
) -> None:
    async with client(system.gateway_url, small.token) as api:
        answers = await asyncio.gather(*(api.events(events(3)) for _ in range(12)))
    assert {answer.status for answer in answers} <= {202, 207, 402}
    assert sum(answer.json().get("accepted", 0) for answer in answers) == MONTH
    usage = await operator.usage(small.org_id)
    assert usage.used + usage.reserved == MONTH
