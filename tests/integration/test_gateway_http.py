"""HTTP itself: routes, methods, what is not HTTP at all, and connections that carry more than one request."""

import asyncio
import json

import pytest

from tests.support.client import REQUEST_ID, Client, client, refusal
from tests.support.operators import EVENT_TYPE, Caller
from tests.support.system import RunningSystem
from tests.support.wire import request_bytes, wire

pytestmark = pytest.mark.usefixtures("unharmed")

EVENT = {"eventType": EVENT_TYPE, "category": "code", "actor": {"externalId": "eng-17"}}
BODY = json.dumps({"events": [EVENT]}).encode()


@pytest.mark.parametrize("path", ["/", "/nothing", "/events/", "/ping/extra", "//ping", "/%2e%2e/ping"])
async def test_an_unknown_route_is_404_in_the_error_shape(api: Client, path: str) -> None:
    refusal(await api.send("GET", path), 404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/ping", "GET"),
        ("HEAD", "/ping", "GET"),
        ("GET", "/events", "POST"),
        ("PUT", "/events", "POST"),
        ("DELETE", "/snapshots", "POST"),
        ("OPTIONS", "/snapshots", "POST"),
    ],
)
async def test_a_wrong_method_is_405_and_names_the_right_one(api: Client, method: str, path: str, allowed: str) -> None:
    answer = await api.send(method, path)
    assert answer.headers["Allow"] == allowed
    if method == "HEAD":
        assert answer.status == 405
        assert REQUEST_ID.fullmatch(answer.headers["X-Request-Id"])
    else:
        refusal(answer, 405, "method_not_allowed")


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(32) + b"\r\n\r\n",
        b"hello?\r\n\r\n",
        b"GET /api/v1/ingest/ping HTTP/9.9\r\n\r\n",
        b"GET /api/v1/ingest/ping HTTP/1.1\r\nno colon here\r\n\r\n",
        b"POST /api/v1/ingest/events HTTP/1.1\r\nContent-Length: many\r\n\r\n",
        b"POST /api/v1/ingest/events HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"POST /api/v1/ingest/events HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nhello",
        b"GET /api/v1/ingest/ping HTTP/1.1\r\nX-Huge: " + b"x" * 70_000 + b"\r\n\r\n",
        b"GET /api/v1/ingest/" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n",
    ],
    ids=["tls", "words", "version", "no-colon", "length", "two-lengths", "length-and-chunked", "header", "path"],
)
async def test_what_is_not_well_formed_http_is_400_in_the_error_shape(system: RunningSystem, garbage: bytes) -> None:
    async with wire(system.gateway_url) as connection:
        await connection.send(garbage)
        refusal(await connection.answer(), 400, "invalid_body")
        assert await connection.closed()


async def test_a_client_that_leaves_in_the_middle_of_its_body_harms_nobody(
    system: RunningSystem, caller: Caller
) -> None:
    for _ in range(20):
        async with wire(system.gateway_url) as connection:
            await connection.send(request_bytes("POST", "/events", caller.token, BODY)[:-10])


async def test_one_connection_carries_many_requests_refused_ones_between(system: RunningSystem, caller: Caller) -> None:
    async with wire(system.gateway_url) as connection:
        for body, status in ((BODY, 202), (b"{", 400), (BODY, 202), (b'{"events":[]}', 400), (BODY, 202)):
            await connection.send(request_bytes("POST", "/events", caller.token, body))
            assert (await connection.answer()).status == status


async def test_requests_sent_without_waiting_are_answered_in_their_order(system: RunningSystem, caller: Caller) -> None:
    ping = request_bytes("GET", "/ping", caller.token)
    post = request_bytes("POST", "/events", caller.token, BODY)
    async with wire(system.gateway_url) as connection:
        await connection.send(ping + post + ping + post + post)
        statuses = [(await connection.answer()).status for _ in range(5)]
    assert statuses == [200, 202, 200, 202, 202]


async def test_a_client_that_asks_before_it_sends_its_body_is_told_to_go_on(
    system: RunningSystem, caller: Caller
) -> None:
    whole = request_bytes("POST", "/events", caller.token, BODY, Expect="100-continue")
    async with wire(system.gateway_url) as connection:
        await connection.send(whole[: -len(BODY)])
        assert await connection.continues()
        await connection.send(BODY)
        assert (await connection.answer()).status == 202


async def test_another_expectation_is_refused_in_the_error_shape(api: Client) -> None:
    answer = await api.send("POST", "/events", BODY, {"Content-Type": "application/json", "Expect": "a miracle"})
    refusal(answer, 400, "invalid_body")


async def test_http_1_0_is_answered_and_its_connection_closed(system: RunningSystem, caller: Caller) -> None:
    request = request_bytes("GET", "/ping", caller.token).replace(b"HTTP/1.1", b"HTTP/1.0")
    async with wire(system.gateway_url) as connection:
        await connection.send(request)
        assert (await connection.answer()).status == 200
        assert await connection.closed()


async def test_a_connection_is_closed_when_the_client_asks_for_it(system: RunningSystem, caller: Caller) -> None:
    async with wire(system.gateway_url) as connection:
        await connection.send(request_bytes("GET", "/ping", caller.token, Connection="close"))
        assert (await connection.answer()).status == 200
        assert await connection.closed()


async def test_every_answer_has_a_request_id_of_its_own(system: RunningSystem, caller: Caller) -> None:
    async with client(system.gateway_url, caller.token) as many:
        answers = await asyncio.gather(*(many.ping() for _ in range(50)))
    ids = {answer.headers["X-Request-Id"] for answer in answers}
    assert len(ids) == 50
    assert all(REQUEST_ID.fullmatch(request_id) for request_id in ids)
