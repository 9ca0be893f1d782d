"""Requests whose length two servers could read differently: refused, or read in one way, and never two out of one."""

import asyncio
import json

import pytest

from tests.support.client import refusal
from tests.support.exactness import stored_messages
from tests.support.operators import EVENT_TYPE, Caller, Operators
from tests.support.system import RunningSystem
from tests.support.wire import Wire, request_bytes, wire

pytestmark = pytest.mark.usefixtures("unharmed")

EVENT = {"eventType": EVENT_TYPE, "category": "code", "actor": {"externalId": "eng-17"}}
BODY = json.dumps({"events": [EVENT]}).encode()
LENGTH = b"Content-Length: %d" % len(BODY)
CHUNKED = b"Transfer-Encoding: chunked"


def chunks(body: bytes = BODY, *, extension: bytes = b"", end: bytes = b"\r\n") -> bytes:
    return b"%x%s%s%s%s0%s%s" % (len(body), extension, end, body, end, end, end)


class Sender:
    """One app's client by hand."""

    def __init__(self, system: RunningSystem, operator: Operators, caller: Caller) -> None:
        self.url = system.gateway_url
        self._operator = operator
        self._caller = caller

    def head(self, *lines: bytes, method: bytes = b"POST", path: bytes = b"/events", end: bytes = b"\r\n") -> bytes:
        first = (
            b"%s /api/v1/ingest%s HTTP/1.1" % (method, path),
            b"Host: localhost",
            b"Authorization: Bearer " + self._caller.token.encode(),
            b"Content-Type: application/json",
        )
        return end.join([*first, *lines]) + end * 2

    @property
    def smuggled(self) -> bytes:
        """A whole request that must not be found inside another."""
        return self.head(LENGTH) + BODY

    @property
    def ping(self) -> bytes:
        return request_bytes("GET", "/ping", self._caller.token)

    async def stored(self) -> int:
        return await stored_messages(self._operator, self._caller)


@pytest.fixture(scope="module")
async def sender(system: RunningSystem, operator: Operators) -> Sender:
    return Sender(system, operator, await operator.caller())


REFUSED = {
    "length and chunked": (LENGTH + b"\r\n" + CHUNKED, b"0\r\n\r\n"),
    "chunked and length": (CHUNKED + b"\r\n" + LENGTH, b"0\r\n\r\n"),
    "chunked and length 4": (b"Content-Length: 4\r\n" + CHUNKED, chunks()),
    "two lengths": (LENGTH + b"\r\nContent-Length: 0", BODY),
    "the same length twice": (LENGTH + b"\r\n" + LENGTH, BODY),
    "a list of lengths": (LENGTH + b", %d" % len(BODY), BODY),
    "a length with a sign": (b"Content-Length: +%d" % len(BODY), BODY),
    "a negative length": (b"Content-Length: -1", BODY),
    "a hexadecimal length": (b"Content-Length: 0x5", BODY),
    "a length with a space in it": (b"Content-Length: 5 5", BODY),
    "a length beyond 64 bits": (b"Content-Length: 18446744073709551617", BODY),
    "a space before the colon of the length": (b"Content-Length : %d" % len(BODY), BODY),
    "a space before the colon of chunked": (b"Transfer-Encoding : chunked", chunks()),
    "an unknown coding": (b"Transfer-Encoding: xchunked", chunks()),
    "identity": (b"Transfer-Encoding: identity", chunks()),
    "chunked, but not last": (b"Transfer-Encoding: chunked, identity", chunks()),
    "chunked twice": (CHUNKED + b"\r\n" + CHUNKED, chunks()),
    "chunked behind a vertical tab": (b"Transfer-Encoding: \x0bchunked", chunks()),
    "chunked in a folded line": (b"Transfer-Encoding:\r\n chunked", chunks()),
    "a folded line": (b"X-A: b\r\n c\r\n" + LENGTH, BODY),
    "a bare LF in the head": (b"X-A: b\n" + LENGTH, BODY),
    "a bare CR in the head": (b"X-A: b\r" + LENGTH, BODY),
    "a NUL in the head": (b"X-A: b\0c\r\n" + LENGTH, BODY),
    "a name with a space": (b"X A: b\r\n" + LENGTH, BODY),
    "no name": (b": b\r\n" + LENGTH, BODY),
    "a bare LF in the chunks": (CHUNKED, chunks(end=b"\n")),
    "a bare LF in an extension": (CHUNKED, chunks(extension=b";a\nb")),
    "a chunk's length with 0x": (CHUNKED, b"0x" + chunks()),
    "a chunk's length with a sign": (CHUNKED, b"+" + chunks()),
    "a chunk's length beyond 64 bits": (CHUNKED, b"1" + b"0" * 16 + chunks()),
    "a chunk longer than it says": (CHUNKED, b"3\r\nhello\r\n0\r\n\r\n"),
    "a chunk without its end": (CHUNKED, b"5\r\nhello5\r\nhello\r\n0\r\n\r\n"),
    "trailers": (CHUNKED, b"%x\r\n%s\r\n0\r\nContent-Length: 5\r\n\r\n" % (len(BODY), BODY)),
    "two types": (b"Content-Type: text/plain\r\n" + LENGTH, BODY),
    "1,000 headers": (b"".join(b"X-%d: a\r\n" % number for number in range(1000)) + LENGTH, BODY),
}


@pytest.mark.parametrize(("lines", "body"), REFUSED.values(), ids=REFUSED)
async def test_an_ambiguous_request_is_400_its_connection_closed_and_nothing_of_it_stored(
    sender: Sender, lines: bytes, body: bytes
) -> None:
    before = await sender.stored()
    async with wire(sender.url) as connection:
        await connection.send(sender.head(lines) + body + sender.smuggled)
        refusal(await connection.answer(), 400, "invalid_body")
        assert await connection.closed()
    assert await sender.stored() == before


async def test_a_head_whose_lines_end_in_bare_lf_is_400(sender: Sender) -> None:
    async with wire(sender.url) as connection:
        await connection.send(sender.head(LENGTH, end=b"\n") + BODY)
        refusal(await connection.answer(), 400, "invalid_body")
        assert await connection.closed()


async def test_chunked_is_not_known_to_http_1_0(sender: Sender) -> None:
    async with wire(sender.url) as connection:
        await connection.send(sender.head(CHUNKED).replace(b"HTTP/1.1", b"HTTP/1.0") + chunks() + sender.smuggled)
        refusal(await connection.answer(), 400, "invalid_body")
        assert await connection.closed()


async def statuses(connection: Wire, count: int) -> list[int]:
    return [(await connection.answer()).status for _ in range(count)]


@pytest.mark.parametrize(
    ("lines", "body"),
    [
        (CHUNKED, chunks()),
        (CHUNKED, chunks(extension=b";name=value")),
        (CHUNKED, chunks(extension=b";" + b"x" * 5000)),
        (CHUNKED, b"".join(b"1\r\n%c\r\n" % byte for byte in BODY) + b"0\r\n\r\n"),
        (b"Transfer-Encoding:\tchunked", chunks()),
        (b"transfer-encoding: CHUNKED", chunks()),
        (b"Content-Length:%d" % len(BODY), BODY),
        (b"Content-Length: 000%d" % len(BODY), BODY),
    ],
    ids=["chunks", "extension", "long-extension", "bytes", "tab", "case", "no-space", "zeros"],
)
async def test_what_can_be_read_in_one_way_only_is_one_request(sender: Sender, lines: bytes, body: bytes) -> None:
    before = await sender.stored()
    async with wire(sender.url) as connection:
        await connection.send(sender.head(lines) + body + sender.ping)
        assert await statuses(connection, 2) == [202, 200]
    assert await sender.stored() == before + 1


async def test_a_request_inside_a_body_is_a_body(sender: Sender) -> None:
    before = await sender.stored()
    async with wire(sender.url) as connection:
        inside = BODY + sender.smuggled
        await connection.send(sender.head(b"Content-Length: %d" % len(inside)) + inside + sender.ping)
        refusal(await connection.answer(), 400, "invalid_body")
        assert (await connection.answer()).status == 200
    assert await sender.stored() == before


async def test_the_body_of_a_get_is_not_a_request(sender: Sender) -> None:
    before = await sender.stored()
    lines = b"Content-Length: %d" % len(sender.smuggled)
    async with wire(sender.url) as connection:
        await connection.send(sender.head(lines, method=b"GET", path=b"/ping") + sender.smuggled + sender.ping)
        assert await statuses(connection, 2) == [200, 200]
    assert await sender.stored() == before


async def test_chunks_that_turn_to_nonsense_are_400_at_once(sender: Sender) -> None:
    before = await sender.stored()
    async with wire(sender.url) as connection:
        await connection.send(sender.head(CHUNKED) + b"5\r\nhello\r\n")
        await asyncio.sleep(0.1)  # long enough for the handler to wait for more
        await connection.send(b"zz\r\nhello\r\n0\r\n\r\n" + sender.smuggled)
        refusal(await connection.answer(timeout_seconds=5), 400, "invalid_body")
        assert await connection.closed()
    assert await sender.stored() == before


async def test_garbage_behind_a_request_does_not_harm_the_request(sender: Sender) -> None:
    async with wire(sender.url) as connection:
        await connection.send(sender.head(LENGTH))
        await connection.send(BODY)
        assert (await connection.answer()).status == 202
        await connection.send(b"\0garbage\r\n\r\n" + sender.smuggled)
        refusal(await connection.answer(), 400, "invalid_body")
        assert await connection.closed()


@pytest.mark.parametrize("protocol", ["websocket", "h2c"])
async def test_an_upgrade_is_not_taken_up_and_the_request_answered_in_http_1_1(sender: Sender, protocol: str) -> None:
    upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAAA\r\nUpgrade: " + protocol.encode()
    async with wire(sender.url) as connection:
        for _ in range(2):
            await connection.send(sender.head(upgrade, LENGTH) + BODY)
            assert (await connection.answer()).status == 202
            await connection.send(sender.ping)
            assert (await connection.answer()).status == 200


@pytest.mark.parametrize("method", [b"CONNECT", b"TRACE", b"BREW", b"PRI"])
async def test_other_methods_are_refused_in_the_error_shape(sender: Sender, method: bytes) -> None:
    async with wire(sender.url) as connection:
        await connection.send(sender.head(method=method, path=b"/ping"))
        answer = await connection.answer()
    assert answer.status in (400, 404, 405), answer
    refusal(answer, answer.status, answer.json()["error"]["code"])


async def test_two_idempotency_keys_are_400(sender: Sender) -> None:
    before = await sender.stored()
    async with wire(sender.url) as connection:
        await connection.send(sender.head(b"Idempotency-Key: a", b"Idempotency-Key: b", LENGTH) + BODY + sender.ping)
        refusal(await connection.answer(), 400, "invalid_body")
        assert (await connection.answer()).status == 200
    assert await sender.stored() == before


async def test_many_pipelined_requests_are_answered_each_once_and_in_order(sender: Sender) -> None:
    before = await sender.stored()
    async with wire(sender.url) as connection:
        both = sender.ping + sender.head(LENGTH) + BODY
        sending = asyncio.create_task(connection.send(both * 100))
        assert await statuses(connection, 200) == [200, 202] * 100
        await sending
    assert await sender.stored() == before + 100
