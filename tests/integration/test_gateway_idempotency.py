"""The same key and the same body are one request, however often and however fast they are sent."""

import asyncio
import gzip
import json
from collections import Counter
from typing import Any

import pytest

from tests.support.client import Client, client, refusal
from tests.support.operators import EVENT_TYPE, Caller, Operators
from tests.support.read_models import eventually, query, rows_of_request
from tests.support.system import RunningSystem
from wepeople_contracts.subjects import STREAMS, ingest_subject

pytestmark = pytest.mark.usefixtures("unharmed")

SNAPSHOT = json.dumps({"snapshotType": "q", "actor": {"externalId": "eng-17"}, "metrics": {"a": 1}}).encode()


def events(*markers: str, **changes: Any) -> bytes:
    row = {"eventType": EVENT_TYPE, "category": "code", "actor": {"externalId": "eng-17"}}
    return json.dumps({"events": [row | {"metadata": {"marker": m}} | changes for m in markers]}).encode()


async def stored_messages(operator: Operators, caller: Caller) -> int:
    """How many events requests of the app the stream holds."""
    subject = ingest_subject(caller.org_id, caller.app_id, "events")
    body = json.dumps({"subjects_filter": subject}).encode()
    reply = await operator.connection.request(f"$JS.API.STREAM.INFO.{STREAMS[0]}", body, timeout=5)
    count: int = (json.loads(reply.data)["state"].get("subjects") or {}).get(subject, 0)
    return count


async def test_a_retry_gets_the_first_answer_byte_for_byte_and_is_stored_once(
    system: RunningSystem, operator: Operators
) -> None:
    caller = await operator.caller()
    body = events("a", "b")
    async with client(system.gateway_url, caller.token) as api:
        first = await api.post("/events", body, "key-1")
        again = [await api.post("/events", body, "key-1") for _ in range(3)]
    assert first.status == 202
    assert "Idempotent-Replayed" not in first.headers
    for answer in again:
        assert (answer.status, answer.body) == (first.status, first.body)
        assert answer.headers["Idempotent-Replayed"] == "true"
    assert await stored_messages(operator, caller) == 1
    await rows_of_request(system.operator_dsn, first.json()["requestId"], 2)


async def test_fifty_racing_copies_are_one_stored_message_and_fifty_identical_answers(
    system: RunningSystem, operator: Operators
) -> None:
    caller = await operator.caller()
    body = events("race")
    async with client(system.gateway_url, caller.token) as api:
        answers = await asyncio.gather(*(api.post("/events", body, "race") for _ in range(50)))
    assert {answer.status for answer in answers} == {202}
    assert len({answer.body for answer in answers}) == 1
    assert Counter("Idempotent-Replayed" in answer.headers for answer in answers) == {False: 1, True: 49}
    assert await stored_messages(operator, caller) == 1
    await eventually(lambda: operator.usage(caller.org_id), lambda usage: (usage.used, usage.reserved) == (1, 0))


async def test_of_racing_requests_with_different_bodies_one_is_stored_and_the_others_are_422(
    system: RunningSystem, operator: Operators
) -> None:
    caller = await operator.caller()
    async with client(system.gateway_url, caller.token) as api:
        answers = await asyncio.gather(*(api.post("/events", events(f"body-{n}"), "shared") for n in range(10)))
    assert Counter(answer.status for answer in answers) == {202: 1, 422: 9}
    (winner,) = [answer for answer in answers if answer.status == 202]
    for answer in answers:
        if answer is not winner:
            error = refusal(answer, 422, "idempotency_mismatch")
            assert error["originalRequestId"] == winner.json()["requestId"]
    assert await stored_messages(operator, caller) == 1


async def test_a_key_is_known_by_its_app_and_endpoint_only(system: RunningSystem, operator: Operators) -> None:
    one, other = await operator.caller(), await operator.caller()
    async with client(system.gateway_url, one.token) as first, client(system.gateway_url, other.token) as second:
        answers = [
            await first.post("/events", events("a"), "same"),
            await second.post("/events", events("a"), "same"),
            await first.post("/snapshots", SNAPSHOT, "same"),
        ]
    assert [answer.status for answer in answers] == [202, 202, 202]
    assert all("Idempotent-Replayed" not in answer.headers for answer in answers)


async def test_without_a_key_every_request_is_a_new_one(system: RunningSystem, operator: Operators) -> None:
    caller = await operator.caller()
    async with client(system.gateway_url, caller.token) as api:
        answers = [await api.post("/events", events("a")) for _ in range(3)]
    assert len({answer.json()["results"][0]["eventId"] for answer in answers}) == 3
    assert await stored_messages(operator, caller) == 3


async def test_a_request_of_unknown_outcome_is_found_again_by_its_request_id_as_key(api: Client) -> None:
    first = await api.post("/events", events("named"))
    again = await api.post("/events", events("named"), first.json()["requestId"])
    assert (again.status, again.body) == (first.status, first.body)
    assert again.headers["Idempotent-Replayed"] == "true"


async def test_the_same_body_gzipped_is_the_same_request(api: Client) -> None:
    first = await api.post("/events", events("zip"), "zip-1")
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip", "Idempotency-Key": "zip-1"}
    again = await api.send("POST", "/events", gzip.compress(events("zip")), headers)
    assert (again.status, again.body) == (first.status, first.body)


async def test_partial_success_and_whole_refusal_are_replayed_too(api: Client) -> None:
    partial = events("good")[:-2] + b"," + events("bad", actor={})[len(b'{"events": [') :]
    for body, status, key in ((partial, 207, "part"), (events("bad", actor={}), 400, "none")):
        first = await api.post("/events", body, key)
        again = await api.post("/events", body, key)
        assert first.status == again.status == status
        assert again.body == first.body
        assert again.headers["Idempotent-Replayed"] == "true"


async def test_a_refusal_that_never_reached_the_log_leaves_the_key_unused(
    system: RunningSystem, operator: Operators
) -> None:
    caller = await operator.caller()
    async with client(system.gateway_url, caller.token) as api:
        refusal(await api.post("/events", b"{", "later"), 400, "invalid_body")
        refusal(await api.send("POST", "/events", b"", {"Idempotency-Key": "later"}), 415, "unsupported_media_type")
        refusal(await api.post("/events", b" " * (9 * 1024 * 1024 + 1), "later"), 413, "payload_too_large")
        answer = await api.post("/events", events("a"), "later")
    assert answer.status == 202
    assert "Idempotent-Replayed" not in answer.headers


@pytest.mark.parametrize(
    "key", ["", "x" * 256, "tab\there", "k\u00e4se\u200b"], ids=["empty", "long", "tab", "invisible"]
)
async def test_a_key_that_is_not_printable_or_too_long_is_400(api: Client, key: str) -> None:
    refusal(await api.post("/events", events("a"), key), 400, "invalid_body")


async def test_a_key_of_255_characters_is_taken(api: Client) -> None:
    assert (await api.post("/events", events("a"), "x" * 255)).status == 202


async def test_the_timeline_shows_a_retried_event_once(system: RunningSystem, operator: Operators) -> None:
    caller = await operator.caller()
    async with client(system.gateway_url, caller.token) as api:
        await asyncio.gather(*(api.post("/events", events("once"), "once") for _ in range(5)))
        last = await api.post("/events", events("last"))
    await rows_of_request(system.operator_dsn, last.json()["requestId"], 1)
    statement = "SELECT count(*) AS count FROM live.timeline WHERE org_id = %(org)s AND metadata ->> 'marker' = 'once'"
    assert await query(system.operator_dsn, statement, {"org": caller.org_id}) == [{"count": 1}]
