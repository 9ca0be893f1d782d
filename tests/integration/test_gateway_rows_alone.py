"""Whatever is wrong with some rows, the others are stored and shown as if they had been sent alone."""

from datetime import UTC, datetime
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.client import Answer, client
from tests.support.operators import EVENT_TYPE, Operators
from tests.support.read_models import eventually, query
from tests.support.system import RunningSystem
from tests.unit.test_gateway_decide import BAD_ROWS, GOOD_ROWS
from wepeople_gateway.ingest.decide import judge_events

EXAMPLES = 15

ALL_ROWS = [*GOOD_ROWS, *(raw for raw, _, _ in BAD_ROWS)]


def alone(raw: bytes) -> tuple[str, str | None] | None:
    """What is wrong with a row when nothing stands beside it: its error's code and field, or nothing."""
    judged = judge_events([raw], allowed=frozenset({EVENT_TYPE}), now=datetime.now(UTC))
    return (judged.rejected[0].error.code, judged.rejected[0].error.field) if judged.rejected else None


async def shown(system: RunningSystem, answer: Answer) -> list[dict[str, Any]]:
    """The timeline's rows of a request, once it shows any event that its answer accepted."""
    ids = [result["eventId"] for result in answer.json()["results"] if "eventId" in result]
    statement = "SELECT event_id, row_index FROM live.timeline WHERE request_id = %(id)s ORDER BY row_index"
    request = {"id": answer.json()["requestId"]}
    if not ids:
        return await query(system.operator_dsn, statement, request)
    return await eventually(lambda: query(system.operator_dsn, statement, request), lambda rows: len(rows) > 0)


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.large_base_example],
)
@given(rows=st.lists(st.sampled_from(ALL_ROWS), min_size=1, max_size=30))
async def test_each_row_is_answered_and_shown_as_if_it_were_alone(
    system: RunningSystem, operator: Operators, rows: list[bytes]
) -> None:
    caller = await operator.caller()
    async with client(system.gateway_url, caller.token) as api:
        answer = await api.post("/events", b'{"events":[' + b",".join(rows) + b"]}")
    faults = [alone(raw) for raw in rows]
    results = answer.json()["results"]
    assert [result["index"] for result in results] == list(range(len(rows)))
    said = [(r["error"]["code"], r["error"]["field"]) if r["status"] == "rejected" else None for r in results]
    assert said == faults
    for result in results:
        if result["status"] == "rejected":
            assert len(result["error"]["message"].split()) >= 3, result
    good = faults.count(None)
    assert answer.status in ((202,) if good == len(rows) else (207,) if good else (400, 403))
    assert (answer.json()["accepted"], answer.json()["rejected"]) == (good, len(rows) - good)

    # An event that its sender named is there once, however often the request holds it.
    expected = {result["eventId"]: result["index"] for result in reversed(results) if "eventId" in result}
    found = {row["event_id"]: row["row_index"] for row in await shown(system, answer)}
    assert found == expected


async def test_every_kind_of_bad_row_at_once_harms_none_of_the_good_ones(
    system: RunningSystem, operator: Operators
) -> None:
    caller = await operator.caller()
    good = b'{"eventType":"%s","category":"code","actor":{"externalId":"eng-17"}}' % EVENT_TYPE.encode()
    bad = [raw for raw, _, _ in BAD_ROWS if alone(raw) is not None]
    rows = [row for raw in bad for row in (good, raw)] + [good]
    async with client(system.gateway_url, caller.token) as api:
        answer = await api.post("/events", b'{"events":[' + b",".join(rows) + b"]}")
    assert answer.status == 207, answer
    statuses = [result["status"] for result in answer.json()["results"]]
    assert statuses == ["accepted", "rejected"] * len(bad) + ["accepted"]
    assert [row["row_index"] for row in await shown(system, answer)] == list(range(0, len(rows), 2))
