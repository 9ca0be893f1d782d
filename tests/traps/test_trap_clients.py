"""What nats-py and FastStream do, and which workaround rests on it. When one of these fails, its workaround may go."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
import uvloop
from faststream.nats import JStream, NatsBroker
from nats.aio.client import Client
from nats.errors import NoRespondersError, OutboundBufferLimitError

from tests.support.read_models import eventually
from tests.support.servers import Servers
from wepeople_chassis.broker import BROKER_DOWN, NatsAddress, close, connect
from wepeople_chassis.rpc_server import error_replies
from wepeople_embedded.nats_server import NatsServer
from wepeople_embedded.ports import free_port

DUPLICATE_WINDOW = 600_000_000_000


@pytest.fixture
async def mortal(tmp_path: Path) -> AsyncIterator[NatsServer]:
    """A nats-server to kill."""
    server = NatsServer(tmp_path / "nats", port=free_port(), log_path=tmp_path / "nats.log")
    await server.start()
    yield server
    await server.kill()


async def lost(connection: Client, server: NatsServer) -> None:
    """Kill the server; returns once the client knows."""
    await server.kill()

    async def connected() -> bool:
        return connection.is_connected

    await eventually(connected, lambda is_connected: not is_connected)


async def test_a_lost_connection_stores_what_is_published_unless_pending_size_is_0_hence_the_gateways(
    mortal: NatsServer,
) -> None:
    buffering = await connect(NatsAddress(mortal.url), "tests-buffering")
    strict = await connect(NatsAddress(mortal.url), "tests-strict", pending_size=0)
    await lost(buffering, mortal)
    await lost(strict, mortal)
    await buffering.publish("later", b"sent after the 503")
    with pytest.raises(OutboundBufferLimitError):
        await strict.publish("later", b"")
    await close(buffering)
    await close(strict)


def test_closing_a_lost_connection_with_unsent_data_raises_on_uvloop_hence_close_in_the_chassis(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        server = NatsServer(tmp_path / "nats", port=free_port(), log_path=tmp_path / "nats.log")
        await server.start()
        connection = await connect(NatsAddress(server.url), "tests-lost")
        await lost(connection, server)
        await connection.publish("later", b"unsent")
        with pytest.raises(RuntimeError):
            await connection.close()

    # As the services run.
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scenario())


@pytest.mark.parametrize("declare", [True, False])
async def test_faststreams_jstream_overwrites_a_streams_settings_hence_one_provisioner_owns_streams(
    servers: Servers, declare: bool
) -> None:
    connection = await connect(NatsAddress(servers.nats_url), "tests-declare")
    config = {"name": "TRAP_DECLARE", "subjects": ["declare.>"], "duplicate_window": DUPLICATE_WINDOW}
    await connection.request("$JS.API.STREAM.CREATE.TRAP_DECLARE", json.dumps(config).encode())
    broker = NatsBroker(servers.nats_url, logger=None)

    @broker.subscriber("declare.a", stream=JStream("TRAP_DECLARE", declare=declare))
    async def handle(message: bytes) -> None:
        """Never called."""

    try:
        await broker.start()
        info = json.loads((await connection.request("$JS.API.STREAM.INFO.TRAP_DECLARE", b"")).data)
        assert (info["config"]["duplicate_window"] == DUPLICATE_WINDOW) is not declare
    finally:
        await broker.stop()
        await connection.request("$JS.API.STREAM.DELETE.TRAP_DECLARE", b"")
        await close(connection)


async def responds(connection: Client, subject: str) -> bool:
    """Whether the server knows of somebody who listens there, an answer or not."""
    try:
        await connection.request(subject, b"", timeout=0.2)
    except NoRespondersError:
        return False
    except TimeoutError:
        pass
    return True


async def test_a_faststream_handler_that_raises_sends_no_reply_hence_error_replies(servers: Servers) -> None:
    connection = await connect(NatsAddress(servers.nats_url), "tests-silence")
    plain = NatsBroker(servers.nats_url, logger=None)
    answering = NatsBroker(servers.nats_url, logger=None, middlewares=[error_replies()])

    async def crash(message: bytes) -> None:
        raise ValueError("nobody hears of this")

    plain.subscriber("trap.silent")(crash)
    answering.subscriber("trap.answered")(crash)
    try:
        await plain.start()
        await answering.start()
        await eventually(lambda: responds(connection, "trap.answered"), bool)
        await eventually(lambda: responds(connection, "trap.silent"), bool)
        reply = await connection.request("trap.answered", b"", timeout=2)
        assert json.loads(reply.data)["error"]["code"] == "internal"
        with pytest.raises(TimeoutError):
            await connection.request("trap.silent", b"", timeout=0.5)
    finally:
        with suppress(*BROKER_DOWN):
            await plain.stop()
            await answering.stop()
        await close(connection)
