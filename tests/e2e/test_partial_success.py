"""Partial success, as the guide tells clients to handle it: resend only the rejected indices."""

from typing import Any

from tests.support.client import client
from tests.support.operators import EVENT_TYPE
from tests.support.read_models import query, rows_of_request
from tests.support.system import RunningSystem


def event(number: int, **changes: Any) -> dict[str, Any]:
    row = {
        "eventType": EVENT_TYPE,
        "category": "code",
        "actor": {"externalId": "partial-1"},
        "metadata": {"number": number},
    }
    return row | changes


async def test_only_the_rejected_rows_are_mended_and_sent_again(system: RunningSystem) -> None:
    rows = [event(0), event(1, actor={}), event(2), event(3, duration=-1)]
    async with client(system.gateway_url, system.api_key) as caller:
        answer = await caller.events(rows, "first")
        assert answer.status == 207, answer
        said = answer.json()
        assert (said["accepted"], said["rejected"]) == (2, 2)
        assert [result["index"] for result in said["results"]] == [0, 1, 2, 3]
        rejected = {r["index"]: r["error"] for r in said["results"] if r["status"] == "rejected"}
        assert {index: (e["code"], e["field"], e["retryable"]) for index, e in rejected.items()} == {
            1: ("invalid_body", "actor", False),
            3: ("invalid_body", "duration", False),
        }

        again = await caller.events([event(index) for index in rejected], "second")
        assert again.status == 202, again
        await rows_of_request(system.demo.postgres_dsn, again.json()["requestId"], 2)

    statement = """
        SELECT (t.metadata ->> 'number')::int AS number, t.request_id
        FROM live.timeline t JOIN live.workers w USING (org_id, worker_id)
        WHERE 'partial-1' = ANY (w.external_ids) ORDER BY number
    """
    found = await query(system.demo.postgres_dsn, statement)
    first, second = said["requestId"], again.json()["requestId"]
    assert [(row["number"], row["request_id"]) for row in found] == [(0, first), (1, second), (2, first), (3, second)]
