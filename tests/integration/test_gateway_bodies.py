"""Bodies: what is wrong with them as a whole, what is one row's affair, and how much of them is ever held."""

import asyncio
import gzip
import json
import time
from typing import Any

import psutil
import pytest

from tests.support.client import Answer, Client, refusal
from tests.support.operators import EVENT_TYPE, Caller
from tests.support.read_models import rows_of_request
from tests.support.system import RunningSystem
from tests.support.wire import request_bytes, wire
from wepeople_chassis.tasks import end

pytestmark = pytest.mark.usefixtures("unharmed")

MAX_BYTES = 9 * 1024 * 1024
JSON = {"Content-Type": "application/json"}
GZIP = JSON | {"Content-Encoding": "gzip"}


def event(**changes: Any) -> dict[str, Any]:
    return {"eventType": EVENT_TYPE, "category": "code", "actor": {"externalId": "eng-17"}} | changes


def events(*rows: dict[str, Any]) -> bytes:
    return json.dumps({"events": rows}).encode()


GOOD = events(event())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"hello",
        b'{"events": [',
        b"[]",
        b"null",
        b'{"rows": []}',
        b'{"events": {}}',
        b'{"events": []}',
        events(*[event()] * 501),
        GOOD.replace(b"code", b"c\xffde"),
        GOOD.replace(b"code", b"\xed\xa0\xbd"),
        GOOD.replace(b"code", b"c\x00de"),
        GOOD.replace(b'"code"', b"NaN"),
        GOOD.replace(b'"code"', b"Infinity"),
        GOOD + b"\x00",
        b'{"events": ' + b"[" * 200_000 + b"]" * 200_000 + b"}",
    ],
    ids=[
        *("empty", "words", "cut-off", "array", "null", "no-events", "object", "0-rows", "501-rows", "utf-8"),
        *("utf-8-surrogate", "nul-byte", "nan", "infinity", "trailing-nul", "nesting"),
    ],
)
async def test_a_body_that_cannot_be_understood_as_a_whole_is_400(api: Client, body: bytes) -> None:
    answer = await api.post("/events", body)
    refusal(answer, 400, "invalid_body")
    assert "results" not in answer.json()


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b'"text"', b"[" * 200_000])
async def test_a_snapshot_that_is_no_json_object_is_400(api: Client, body: bytes) -> None:
    refusal(await api.post("/snapshots", body), 400, "invalid_body")


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        (event(metadata={"text": "x" * 17 * 1024}), "metadata"),
        (event(metadata={"text": "a\0b"}), None),
        (event(metadata={"emoji": "\ud83d"}), None),
        (event(metadata=[1]), "metadata"),
        (event(actor={"externalId": "undefined"}), "actor.externalId"),
        (event(timestamp="2026-04-19T12:05:00"), "timestamp"),
        (event(timestamp="2999-01-01T00:00:00Z"), "timestamp"),
        (event(duration="long"), "duration"),
        (event(eventType="Deploy Shipped"), "eventType"),
    ],
    ids=["17-kb", "nul", "half-emoji", "array", "junk", "no-offset", "future", "duration", "type"],
)
async def test_a_bad_row_is_refused_alone_and_its_neighbours_are_accepted(
    api: Client, bad: dict[str, Any], field: str | None
) -> None:
    answer = await api.events([event(), bad, event()])
    assert answer.status == 207, answer
    said = answer.json()
    assert [result["status"] for result in said["results"]] == ["accepted", "rejected", "accepted"]
    assert said["results"][1]["error"]["code"] == "invalid_body"
    assert said["results"][1]["error"]["field"] == field

    alone = await api.events([bad])
    refusal(alone, 400, "invalid_body")
    assert (alone.json()["accepted"], alone.json()["rejected"]) == (0, 1)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/json; charset=utf-16"},
        JSON | {"Content-Encoding": "br"},
        JSON | {"Content-Encoding": "gzip, gzip"},
        {"Content-Type": "/;;="},
    ],
    ids=["missing", "text", "form", "utf-16", "br", "twice", "nonsense"],
)
async def test_a_body_of_another_type_or_encoding_is_415(api: Client, headers: dict[str, str]) -> None:
    refusal(await api.send("POST", "/events", GOOD, headers), 415, "unsupported_media_type")


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "Application/JSON", 'application/json;charset="UTF-8"']
)
async def test_other_spellings_of_the_right_type_are_taken(api: Client, content_type: str) -> None:
    assert (await api.send("POST", "/events", GOOD, {"Content-Type": content_type})).status == 202


async def test_a_body_announced_too_large_is_413_before_any_of_it_is_sent(
    system: RunningSystem, caller: Caller
) -> None:
    head = request_bytes("POST", "/events", caller.token, Content_Length=str(MAX_BYTES + 1))
    async with wire(system.gateway_url) as connection:
        await connection.send(head)
        refusal(await connection.answer(), 413, "payload_too_large")


async def test_a_client_that_sends_all_of_a_body_too_large_still_reads_the_413(api: Client) -> None:
    refusal(await api.post("/events", b" " * (MAX_BYTES + 1)), 413, "payload_too_large")


async def test_an_endless_body_is_cut_at_the_limit(system: RunningSystem, caller: Caller) -> None:
    head = request_bytes("POST", "/events", caller.token, Transfer_Encoding="chunked")
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    async with wire(system.gateway_url) as connection:
        await connection.send(head.replace(b"Content-Length: 0\r\n", b""))

        async def send_for_ever() -> None:
            while True:
                await connection.send(chunk)

        sending = asyncio.create_task(send_for_ever())
        refusal(await connection.answer(), 413, "payload_too_large")
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(sending, 10)


async def test_a_full_request_of_nearly_nine_mebibytes_is_accepted_and_stored(
    system: RunningSystem, api: Client
) -> None:
    rows = [event(metadata={"text": "x" * 16_300, "row": row}) for row in range(500)]
    answer = await api.events(rows)
    assert answer.status == 202, answer.status
    stored = await rows_of_request(system.operator_dsn, answer.json()["requestId"], 500)
    assert [row["metadata"]["row"] for row in stored] == list(range(500))


async def test_a_gzipped_body_is_taken_like_a_plain_one(system: RunningSystem, api: Client) -> None:
    answer = await api.send("POST", "/events", gzip.compress(events(event(metadata={"a": 1}))), GZIP)
    assert answer.status == 202, answer
    (row,) = await rows_of_request(system.operator_dsn, answer.json()["requestId"], 1)
    assert row["metadata_raw"] == '{"a": 1}'


@pytest.mark.parametrize(
    "body",
    [gzip.compress(GOOD)[:-4], gzip.compress(GOOD)[:-12], GOOD, gzip.compress(GOOD) + b"more", b""],
    ids=["no-length", "cut-off", "not-gzip", "more-behind", "empty"],
)
async def test_a_body_that_is_not_the_gzip_it_claims_to_be_is_400(api: Client, body: bytes) -> None:
    refusal(await api.send("POST", "/events", body, GZIP), 400, "invalid_body")


async def test_a_gzip_bomb_is_413_and_costs_the_gateway_less_than_32_mebibytes(
    system: RunningSystem, api: Client
) -> None:
    bomb = gzip.compress(b" " * 100_000_000)
    assert (await api.ping()).status == 200
    gateway = psutil.Process(system.services["gateway"].child.pid)
    before = gateway.memory_info().rss
    peak, answers = await _peak_rss(gateway, api, bomb, times=3)
    for answer in answers:
        refusal(answer, 413, "payload_too_large")
    assert (peak - before) / 2**20 < 32


async def _peak_rss(gateway: psutil.Process, api: Client, body: bytes, times: int) -> tuple[int, list[Answer]]:
    """The most memory that the process held while it answered the body so many times, one after another."""
    peak = 0

    async def watch() -> None:
        nonlocal peak
        while True:
            peak = max(peak, gateway.memory_info().rss)
            await asyncio.sleep(0.001)

    watching = asyncio.create_task(watch())
    try:
        answers = [await api.send("POST", "/events", body, GZIP) for _ in range(times)]
    finally:
        await end([watching])
    return peak, answers


async def test_bodies_that_trickle_in_do_not_hold_up_others(system: RunningSystem, caller: Caller, api: Client) -> None:
    async with wire(system.gateway_url) as slow:
        whole = request_bytes("POST", "/events", caller.token, GOOD)
        for start in range(0, len(whole), 40):
            await slow.send(whole[start : start + 40])
            began = time.monotonic()
            assert (await api.ping()).status == 200
            assert time.monotonic() - began < 2
        assert (await slow.answer()).status == 202
