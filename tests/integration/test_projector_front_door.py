"""What the projector gives the API: events named by their senders, answers that wait, and where a request is."""

import asyncio
import json
from typing import Any

from tests.support.client import Answer, Client, client, refusal
from tests.support.operators import EVENT_TYPE, Caller, Operators
from tests.support.read_models import query
from tests.support.system import RunningSystem
from wepeople_contracts.ids import new_id, new_request_id


def row(name: str | None, **actor: str) -> dict[str, Any]:
    fields = {"eventType": EVENT_TYPE, "category": "code", "actor": actor}
    return fields if name is None else fields | {"id": name}


async def send_and_wait(api: Client, *rows: dict[str, Any]) -> Answer:
    """Send events, and return once they are visible."""
    answer = await api.post("/events?wait=projected", json.dumps({"events": rows}).encode())
    assert answer.headers["Projected"] == "true", answer
    return answer


async def timeline(system: RunningSystem, *event_ids: str) -> list[dict[str, Any]]:
    """The rows of these events, as an operator sees them."""
    statement = "SELECT event_id, request_id, row_index FROM live.timeline WHERE event_id = ANY(%(ids)s) ORDER BY 1"
    return await query(system.operator_dsn, statement, {"ids": list(event_ids)})


async def test_rows_are_visible_at_once_when_the_answer_says_so(system: RunningSystem, api: Client) -> None:
    for _ in range(20):
        answer = (await send_and_wait(api, row(None, externalId="e"))).json()
        assert len(await timeline(system, answer["results"][0]["eventId"])) == 1


async def test_an_event_sent_again_under_its_name_is_in_the_timeline_once(
    system: RunningSystem, api: Client, caller: Caller
) -> None:
    name, stranger = new_id("name"), new_id("stranger")
    first = (await send_and_wait(api, row(name, externalId="e"), row(name, externalId="e"))).json()
    again = (await send_and_wait(api, row(name, externalId=stranger))).json()
    event_id = first["results"][0]["eventId"]
    assert {result["eventId"] for result in first["results"] + again["results"]} == {event_id}
    assert again["results"][0]["status"] == "duplicate"
    [kept] = await timeline(system, event_id)
    assert (kept["request_id"], kept["row_index"]) == (first["requestId"], 0)
    statement = "SELECT FROM live.workers WHERE org_id = %(org)s AND %(name)s = ANY(external_ids)"
    assert await query(system.operator_dsn, statement, {"org": caller.org_id, "name": stranger}) == []


async def test_one_name_sent_by_many_at_once_is_one_event(system: RunningSystem, api: Client) -> None:
    name = new_id("name")
    answers = await asyncio.gather(*(send_and_wait(api, row(name, externalId="e")) for _ in range(30)))
    [kept] = await timeline(system, answers[0].json()["results"][0]["eventId"])
    assert kept["request_id"] in {answer.json()["requestId"] for answer in answers}


async def test_a_request_can_be_asked_for_by_its_own_app_and_by_no_other(
    system: RunningSystem, api: Client, operator: Operators
) -> None:
    answer = (await api.events([row(None, externalId="e"), row(None)])).json()
    path = f"/requests/{answer['requestId']}"
    shown = (await api.send("GET", path)).json()["request"]
    assert (shown["requestId"], shown["accepted"], shown["rejected"]) == (answer["requestId"], 1, 1)
    assert shown["results"] == answer["results"]
    stranger = await operator.caller()
    async with client(system.gateway_url, stranger.token) as other:
        refusal(await other.send("GET", path), 404, "not_found")
    refusal(await api.send("GET", f"/requests/{new_request_id()}"), 404, "not_found")
