"""The gateway's own TLS: real handshakes, and clients that never finish one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import aiohttp
import psutil
import pytest

from tests.support.client import client
from tests.support.gateways import Gateway, running_gateway
from tests.support.operators import EVENT_TYPE, Caller
from tests.support.ops import Ops, log_lines
from tests.support.read_models import eventually, rows_of_request
from tests.support.system import RunningSystem
from tests.support.tls import write_server
from tests.support.wire import Wire, request_bytes, wire

EVENT = {"eventType": EVENT_TYPE, "category": "code", "actor": {"externalId": "eng-17"}}
PLACES = 20
HEAD_SECONDS = 2.0


@pytest.fixture(scope="module")
async def encrypted(system: RunningSystem, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    """A gateway with a certificate and 20 places, which waits 2 s for a handshake, and as long for a head."""
    directory = tmp_path_factory.mktemp("encrypted")
    certificate, key = write_server(directory)
    settings = {"http_certificate_file": certificate, "http_key_file": key}
    limits = {"max_connections": PLACES, "head_seconds": HEAD_SECONDS}
    async with running_gateway(system.nats_url, directory / "gateway.log", **settings, **limits) as gateway:
        yield gateway


def in_the_clear(gateway: Gateway) -> str:
    return gateway.url.replace("https:", "http:")


async def greeters(stack: AsyncExitStack, gateway: Gateway, count: int) -> list[Wire]:
    """Clients that connect and begin no handshake."""
    return [await stack.enter_async_context(wire(in_the_clear(gateway))) for _ in range(count)]


async def test_an_event_sent_through_tls_arrives(system: RunningSystem, encrypted: Gateway, caller: Caller) -> None:
    async with client(encrypted.url, caller.token) as api:
        answer = await api.events([EVENT])
        assert answer.status == 202
    await rows_of_request(system.operator_dsn, answer.json()["requestId"], 1)


async def test_many_bodies_of_megabytes_at_once_come_whole(encrypted: Gateway, caller: Caller) -> None:
    rows = [EVENT | {"metadata": {"n": n, "text": "x" * 4000}} for n in range(400)]
    async with client(encrypted.url, caller.token) as api:
        answers = await asyncio.gather(*(api.events(rows) for _ in range(6)))
    assert [(answer.status, answer.json()["accepted"]) for answer in answers] == [(202, 400)] * 6


async def test_requests_that_come_with_the_end_of_the_handshake_are_not_lost(
    encrypted: Gateway, caller: Caller
) -> None:
    ping = request_bytes("GET", "/ping", caller.token)
    for _ in range(20):
        async with wire(encrypted.url) as hasty:
            await hasty.send(ping + ping)
            assert [(await hasty.answer()).status for _ in range(2)] == [200, 200]


async def test_a_client_that_trusts_another_authority_does_not_send_its_key(encrypted: Gateway) -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await session.get(encrypted.url)


async def test_plain_http_is_not_answered_where_tls_is_spoken(encrypted: Gateway, caller: Caller) -> None:
    async with wire(in_the_clear(encrypted)) as plain:
        await plain.send(request_bytes("GET", "/ping", caller.token))
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await plain.answer()


async def test_a_handshake_that_fails_is_counted_and_makes_no_line_of_the_log(encrypted: Gateway) -> None:
    [ops] = [line for line in log_lines(encrypted.log_path) if line["event"] == "ops_listening"]

    async def refused() -> float:
        return (await Ops(ops["port"]).metrics()).value("wepeople_tls_refused_total")

    before = await refused()
    for _ in range(3):
        async with wire(in_the_clear(encrypted)) as plain:
            await plain.send(request_bytes("GET", "/ping", "nobody"))
            assert await plain.closed(timeout_seconds=HEAD_SECONDS + 3)
    await eventually(refused, lambda count: count >= before + 3, what="three refused")
    assert "tls_refused" not in encrypted.log_path.read_text()


async def test_a_handshake_that_does_not_begin_or_trickles_in_ends_in_time(encrypted: Gateway) -> None:
    async with AsyncExitStack() as stack:
        silent, slow = await greeters(stack, encrypted, 2)
        trickle = asyncio.create_task(_trickle(slow))
        assert await silent.closed(timeout_seconds=HEAD_SECONDS + 3)
        await asyncio.wait_for(trickle, HEAD_SECONDS + 3)


async def _trickle(slow: Wire) -> None:
    hello = b"\x16\x03\x01\x02\x00" + b"\x01\x00\x01\xfc\x03\x03" + bytes(200)
    for byte in hello:
        try:
            await slow.send(bytes([byte]))
        except ConnectionError:
            return
        await asyncio.sleep(0.1)


async def test_clients_without_a_handshake_keep_nobody_out_and_leave_nothing_behind(
    encrypted: Gateway, caller: Caller
) -> None:
    process = psutil.Process(encrypted.pid)
    ping = request_bytes("GET", "/ping", caller.token)
    before = process.num_fds()
    async with AsyncExitStack() as stack:
        for _ in range(5):
            await greeters(stack, encrypted, PLACES)
            async with wire(encrypted.url) as served:
                await served.send(ping)
                assert (await served.answer()).status == 200
        assert process.num_fds() <= before + PLACES + 5

    async def files_again() -> int:
        return process.num_fds()

    await eventually(files_again, lambda count: count <= before, within_seconds=HEAD_SECONDS + 5)


async def test_a_client_in_use_outlives_a_flood_of_those_without_a_handshake(
    encrypted: Gateway, caller: Caller
) -> None:
    ping = request_bytes("GET", "/ping", caller.token)
    async with AsyncExitStack() as stack:
        used = await stack.enter_async_context(wire(encrypted.url))
        for _ in range(PLACES):
            await used.send(ping)
            assert (await used.answer()).status == 200
            await greeters(stack, encrypted, PLACES // 2)


async def test_a_client_that_ends_tls_within_a_request_is_no_failure_of_ours(
    encrypted: Gateway, caller: Caller
) -> None:
    whole = request_bytes("POST", "/events", caller.token, b"{}" * 50)
    for _ in range(10):
        async with wire(encrypted.url) as leaving:
            await leaving.send(whole[:-10])
    async with client(encrypted.url, caller.token) as api:
        assert (await api.ping()).status == 200
    assert "Traceback" not in encrypted.log_path.read_text()
    assert '"level": "error"' not in encrypted.log_path.read_text()
