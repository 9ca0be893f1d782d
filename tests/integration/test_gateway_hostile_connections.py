"""Connections that cost more than they bring: slow, idle, half gone, unread, and too many of them."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import psutil
import pytest

from tests.support.client import client, refusal
from tests.support.gateways import Gateway, running_gateway
from tests.support.operators import EVENT_TYPE, Caller, Operators
from tests.support.read_models import eventually, rows_of_request
from tests.support.system import RunningSystem
from tests.support.tls import write_server
from tests.support.wire import Wire, request_bytes, wire

EVENT = {"eventType": EVENT_TYPE, "category": "code", "actor": {"externalId": "eng-17"}}
BODY = json.dumps({"events": [EVENT]}).encode()
PLACES = 20
HEAD_SECONDS = 1.0
IDLE_SECONDS = 2.0
IN_THE_CLEAR = pytest.mark.parametrize("near", ["http"], indirect=True)
"""Through TLS nobody ends one side alone."""


@pytest.fixture(scope="module", params=["http", "https"])
async def near(
    request: pytest.FixtureRequest, system: RunningSystem, caller: Caller, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Gateway]:
    """A gateway with 20 places, which waits 1 s for a head and 2 s for the next request."""
    directory = tmp_path_factory.mktemp("near")
    settings: dict[str, object] = {
        "max_connections": PLACES,
        "head_seconds": HEAD_SECONDS,
        "idle_seconds": IDLE_SECONDS,
    }
    if request.param == "https":
        settings["http_certificate_file"], settings["http_key_file"] = write_server(directory)
    async with running_gateway(system.nats_url, directory / "gateway.log", **settings) as gateway:
        async with client(gateway.url, caller.token) as api:
            assert (await api.ping()).status == 200
        yield gateway


async def connections(stack: AsyncExitStack, url: str, count: int) -> list[Wire]:
    return [await stack.enter_async_context(wire(url)) for _ in range(count)]


def open_files(gateway: Gateway) -> int:
    return psutil.Process(gateway.pid).num_fds()


async def test_a_head_that_does_not_end_in_time_is_400_and_its_connection_closed(near: Gateway, caller: Caller) -> None:
    async with wire(near.url) as slow:
        began = time.monotonic()
        await slow.send(request_bytes("GET", "/ping", caller.token)[:-10])
        refusal(await slow.answer(), 400, "invalid_body")
        assert HEAD_SECONDS * 0.9 <= time.monotonic() - began < HEAD_SECONDS + 3
        assert await slow.closed()


async def test_bytes_that_trickle_in_make_no_head_last_longer(near: Gateway, caller: Caller) -> None:
    async with wire(near.url) as slow:
        answer = asyncio.create_task(slow.answer())
        began = time.monotonic()
        for byte in request_bytes("GET", "/ping", caller.token):
            await slow.send(bytes([byte]))
            await asyncio.sleep(0.1)
            if answer.done():
                break
        assert time.monotonic() - began < HEAD_SECONDS + 3
        refusal(await answer, 400, "invalid_body")


async def test_a_second_request_on_a_connection_has_its_own_time(near: Gateway, caller: Caller) -> None:
    ping = request_bytes("GET", "/ping", caller.token)
    async with wire(near.url) as connection:
        for _ in range(3):
            await connection.send(ping[:-10])
            await asyncio.sleep(HEAD_SECONDS * 0.6)
            await connection.send(ping[-10:])
            assert (await connection.answer()).status == 200


async def test_a_head_of_many_large_headers_is_400_before_it_is_all_there(near: Gateway) -> None:
    async with wire(near.url) as connection:
        await connection.send(b"GET /api/v1/ingest/ping HTTP/1.1\r\nHost: localhost\r\n")
        answer = asyncio.create_task(connection.answer())
        for number in range(100):
            await asyncio.sleep(0.005)
            if answer.done():
                break
            await connection.send(b"X-%d: %s\r\n" % (number, b"x" * 4000))
        assert number < 50
        refusal(await answer, 400, "invalid_body")


async def test_a_connection_that_is_idle_for_too_long_is_closed(near: Gateway, caller: Caller) -> None:
    async with wire(near.url) as silent, wire(near.url) as served:
        await served.send(request_bytes("GET", "/ping", caller.token))
        assert (await served.answer()).status == 200
        assert await silent.closed()
        assert await served.closed()


@IN_THE_CLEAR
async def test_a_client_that_ends_its_side_still_gets_its_answers(
    system: RunningSystem, near: Gateway, caller: Caller
) -> None:
    post = request_bytes("POST", "/events", caller.token, BODY)
    async with wire(near.url) as half:
        await half.send(post + request_bytes("GET", "/ping", caller.token) + post)
        half.end()
        answers = [await half.answer() for _ in range(3)]
        assert [answer.status for answer in answers] == [202, 200, 202]
        assert await half.closed(timeout_seconds=IDLE_SECONDS * 0.75)
    await rows_of_request(system.operator_dsn, answers[0].json()["requestId"], 1)


@IN_THE_CLEAR
async def test_a_client_that_ends_its_side_within_a_body_is_let_go(near: Gateway, caller: Caller) -> None:
    async with wire(near.url) as half:
        await half.send(request_bytes("POST", "/events", caller.token, BODY)[:-5])
        await asyncio.sleep(0.1)
        half.end()
        assert await half.closed(timeout_seconds=IDLE_SECONDS)


async def test_many_more_idle_connections_than_places_keep_nobody_out(near: Gateway, caller: Caller) -> None:
    ping = request_bytes("GET", "/ping", caller.token)
    async with AsyncExitStack() as stack:
        await connections(stack, near.url, PLACES * 5)
        files = open_files(near)
        for _ in range(3):
            (served,) = await connections(stack, near.url, 1)
            await served.send(ping)
            assert (await served.answer()).status == 200
            await connections(stack, near.url, PLACES // 2)
        assert open_files(near) <= files + PLACES
        # Of all these, as many are open as there are places.
        process = psutil.Process(near.pid)
        port = near.port

        async def established() -> int:
            return sum(c.status == "ESTABLISHED" and c.laddr.port == port for c in process.net_connections("tcp"))

        await eventually(established, lambda count: count <= PLACES)


async def test_a_connection_in_use_outlives_a_flood_of_idle_ones(near: Gateway, caller: Caller) -> None:
    ping = request_bytes("GET", "/ping", caller.token)
    async with AsyncExitStack() as stack:
        (used,) = await connections(stack, near.url, 1)
        for _ in range(PLACES):
            await used.send(ping)
            assert (await used.answer()).status == 200
            await connections(stack, near.url, PLACES // 2)


async def test_when_every_place_is_being_answered_a_new_connection_is_503_until_one_is_free(
    near: Gateway, caller: Caller
) -> None:
    async with AsyncExitStack() as stack:
        held = await connections(stack, near.url, PLACES)
        whole = request_bytes("POST", "/events", caller.token, BODY, Expect="100-continue")
        for connection in held:
            await connection.send(whole[: -len(BODY)])
        for connection in held:
            assert await connection.continues(), "each is being answered, and waits for its body"
        (refused,) = await connections(stack, near.url, 1)
        answer = await refused.answer()
        refusal(answer, 503, "unavailable")
        assert answer.headers["Retry-After"] == "1"
        assert await refused.closed()
        for connection in held:
            await connection.send(BODY)
        for connection in held:
            assert (await connection.answer()).status == 202
        (served,) = await connections(stack, near.url, 1)
        await served.send(request_bytes("GET", "/ping", caller.token))
        assert (await served.answer()).status == 200


async def test_a_client_that_leaves_in_the_middle_of_a_body_is_no_failure_of_ours(
    system: RunningSystem, operator: Operators, tmp_path_factory: pytest.TempPathFactory
) -> None:
    caller = await operator.caller()
    log = tmp_path_factory.mktemp("left") / "gateway.log"
    async with running_gateway(system.nats_url, log) as gateway:
        for _ in range(10):
            async with wire(gateway.url) as connection:
                whole = request_bytes("POST", "/events", caller.token, BODY, Expect="100-continue")
                await connection.send(whole[: -len(BODY)])
                assert await connection.continues()
        async with client(gateway.url, caller.token) as api:
            assert (await api.ping()).status == 200
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line for line in lines if line["level"] in ("error", "critical")] == []


async def send_until_it_must_wait(deaf: Wire, requests: bytes) -> None:
    while True:
        await deaf.send(requests)


@pytest.mark.usefixtures("unharmed")
async def test_a_client_that_never_reads_its_answers_is_not_answered_into_memory(
    system: RunningSystem, caller: Caller
) -> None:
    gateway = psutil.Process(system.services["gateway"].child.pid)
    before = gateway.memory_info().rss
    async with wire(system.gateway_url) as deaf:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(send_until_it_must_wait(deaf, request_bytes("GET", "/ping", caller.token) * 1000), 2)
        assert (gateway.memory_info().rss - before) / 2**20 < 32
        deaf.abort()


@pytest.mark.slow
@pytest.mark.usefixtures("unharmed")
async def test_a_client_that_never_reads_its_answers_is_let_go_after_half_a_minute(
    system: RunningSystem, caller: Caller
) -> None:
    async with wire(system.gateway_url) as deaf:
        began = time.monotonic()
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(
                send_until_it_must_wait(deaf, request_bytes("GET", "/ping", caller.token) * 1000), 60
            )
        assert time.monotonic() - began > 20


@pytest.mark.usefixtures("unharmed")
async def test_two_thousand_idle_connections_stand_in_nobodys_way(system: RunningSystem, caller: Caller) -> None:
    gateway = psutil.Process(system.services["gateway"].child.pid)
    before, files = gateway.memory_info().rss, gateway.num_fds()
    async with AsyncExitStack() as stack:
        idle = await connections(stack, system.gateway_url, 2000)
        async with client(system.gateway_url, caller.token) as api:
            assert (await api.ping()).status == 200
            assert (await api.events([EVENT])).status == 202
        port = int(system.gateway_url.rpartition(":")[2])
        taken = [c for c in gateway.net_connections("tcp") if c.laddr.port == port and c.status == "ESTABLISHED"]
        assert len(taken) >= 2000, "none of them was turned away"
        each = (gateway.memory_info().rss - before) / len(idle) / 1024
        print(f"{each:.0f} KiB for each idle connection")
        assert each < 64

    async def files_again() -> int:
        return gateway.num_fds()

    await eventually(files_again, lambda count: count <= files + 50)
