"""Bodies made to cost more than their bytes: each is answered soon, and none takes much memory."""

import asyncio
import json
import time
from collections.abc import AsyncIterator

import psutil
import pytest

from tests.support.client import Answer, Client, client, refusal
from tests.support.gateways import Gateway, running_gateway
from tests.support.operators import EVENT_TYPE, Caller
from tests.support.system import RunningSystem
from tests.support.wire import request_bytes, wire

MAX_BYTES = 9 * 1024 * 1024
MEBIBYTE = 2**20
SECONDS = 10.0
"""A 9 MiB body of honest rows takes one or two on a busy machine."""

ROW = b'{"eventType":"%s","category":"code","actor":{"externalId":"eng-17"}' % EVENT_TYPE.encode()
SNAPSHOT = b'{"snapshotType":"q","actor":{"externalId":"eng-17"},"metrics":'


@pytest.fixture(scope="module")
async def alone(
    system: RunningSystem, caller: Caller, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Gateway]:
    """A gateway that has answered one large request, so that what it grows by afterwards is the body's doing."""
    async with running_gateway(system.nats_url, tmp_path_factory.mktemp("alone") / "gateway.log") as gateway:
        async with client(gateway.url, caller.token) as api:
            assert (await api.post("/events", events(filled(ROW + b',"x":"', b"x", b'"}')))).status == 202
        yield gateway


def filled(start: bytes, filling: bytes, end: bytes) -> bytes:
    """As often the filling as nine mebibytes have room for."""
    room = MAX_BYTES - 200 - len(start) - len(end)
    return start + filling * (room // len(filling)) + end


def events(rows: bytes) -> bytes:
    return b'{"events":[' + rows + b"]}"


def keys(start: bytes, end: bytes) -> bytes:
    """Different keys that only differ in their last digits."""
    return start + b",".join(b'"%09d":0' % number for number in range(600_000)) + end


async def grown(gateway: Gateway, sending: asyncio.Task[Answer]) -> float:
    """By how many MiB the process grows at most while it answers."""
    process = psutil.Process(gateway.pid)
    before = peak = process.memory_info().rss
    while not sending.done():
        peak = max(peak, process.memory_info().rss)
        await asyncio.sleep(0.002)
    return (peak - before) / MEBIBYTE


async def answer_to(gateway: Gateway, caller: Caller, path: str, body: bytes) -> Answer:
    assert len(body) <= MAX_BYTES
    async with client(gateway.url, caller.token) as api:
        began = time.monotonic()
        sending = asyncio.create_task(api.post(path, body))
        growth = await grown(gateway, sending)
        answer = await sending
    assert time.monotonic() - began < SECONDS
    assert growth < 128, f"{growth:.0f} MiB for a body of {len(body) / MEBIBYTE:.1f}"
    return answer


REFUSED = {
    "nine million brackets": filled(b'{"events":', b"[", b""),
    "nine million objects": filled(b'{"events":', b'{"a":', b""),
    "a million empty objects": events(b",".join([b"{}"] * 1_000_000)),
    "4.7 million numbers": events(b",".join([b"0"] * 4_700_000)),
    "a million empty arrays inside a row": filled(b'{"events":[', b"[],", b""),
    "escapes without an end": filled(b'{"events":["', b"\\n", b""),
    "halves of emoji without an end": filled(b'{"events":["', b"\\ud83d", b""),
    "a number without an end": filled(b'{"events":', b"9", b""),
    "white space": filled(b"", b" ", b""),
}


@pytest.mark.parametrize("body", REFUSED.values(), ids=REFUSED)
async def test_a_body_that_cannot_be_understood_is_400_soon_and_without_much_memory(
    alone: Gateway, caller: Caller, body: bytes
) -> None:
    refusal(await answer_to(alone, caller, "/events", body), 400, "invalid_body")


JUDGED = {
    "halves of emoji": (events(filled(ROW + b',"metadata":{"a":"', b"\\ud83d", b'"}}')), 400),
    "escapes that look like NUL": (events(filled(ROW + b',"x":"\\\\u0000', b"\\n", b'"}')), 202),
    "a NUL behind escapes": (events(filled(ROW + b',"x":"', b"\\n", b'\\u0000"}')), 400),
    "600,000 keys in a row": (events(keys(ROW + b",", b"}")), 202),
    "600,000 keys of metadata": (events(keys(ROW + b',"metadata":{', b"}}")), 400),
    "a number of nine million digits": (events(filled(ROW + b',"duration":', b"9", b"}")), 400),
    "a name of nine million letters": (events(filled(b'{"eventType":"', b"x", b'"}')), 400),
    "an address of nine million letters": (events(filled(b'{"actor":{"email":"', b"x", b'"}}')), 400),
}


@pytest.mark.parametrize(("body", "status"), JUDGED.values(), ids=JUDGED)
async def test_a_row_of_nine_mebibytes_is_judged_soon_and_without_much_memory(
    alone: Gateway, caller: Caller, body: bytes, status: int
) -> None:
    answer = await answer_to(alone, caller, "/events", body)
    assert answer.status == status, answer
    assert len(answer.json()["results"]) == 1
    assert len(answer.body) < 10_000, "what was sent is not sent back"


@pytest.mark.parametrize(
    "metrics",
    [keys(b"{", b"}"), filled(b'{"', b"x", b'":1}'), filled(b'{"a":', b"9", b"}"), filled(b'{"a":"', b"\\n", b'"}')],
    ids=["names", "a-name", "a-number", "a-text"],
)
async def test_a_snapshot_of_nine_mebibytes_is_400_soon_and_without_much_memory(
    alone: Gateway, caller: Caller, metrics: bytes
) -> None:
    answer = await answer_to(alone, caller, "/snapshots", SNAPSHOT + metrics + b"}")
    refusal(answer, 400, "invalid_body")
    assert len(answer.body) < 10_000


async def test_a_million_bytes_in_chunks_of_one_byte_are_one_request(alone: Gateway, caller: Caller) -> None:
    body = events(ROW + b',"x":"' + b"x" * 1_000_000 + b'"}')
    head = request_bytes("POST", "/events", caller.token, Transfer_Encoding="chunked")
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
    async with wire(alone.url) as connection:
        began = time.monotonic()
        await connection.send(head.replace(b"Content-Length: 0\r\n", b"") + chunks)
        assert (await connection.answer(timeout_seconds=SECONDS)).status == 202
        assert time.monotonic() - began < SECONDS


async def test_small_requests_are_answered_between_bodies_that_cost_much(alone: Gateway, caller: Caller) -> None:
    async def post_all(api: Client) -> None:
        for body in REFUSED.values():
            assert (await api.post("/events", body)).status == 400

    async with client(alone.url, caller.token) as hostile, client(alone.url, caller.token) as small:
        posting = asyncio.create_task(post_all(hostile))
        served = 0
        while not posting.done():
            answer = await small.send(
                "POST", "/events", json.dumps({"events": []}).encode(), {"Content-Type": "application/json"}
            )
            refusal(answer, 400, "invalid_body")
            served += 1
        await posting
    assert served > len(REFUSED)
