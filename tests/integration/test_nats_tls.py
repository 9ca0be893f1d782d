"""NATS over TLS: real handshakes, no server that cannot prove who it is, and nothing said before it did."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError

from tests.support.client import client
from tests.support.gateways import running_gateway
from tests.support.nats_users import ACCESS, SEEDS
from tests.support.read_models import eventually
from tests.support.shell import wepeople
from tests.support.tls import write_ca, write_server
from wepeople_chassis.broker import NatsAddress, connect, is_ready
from wepeople_chassis.rpc_server import make_broker
from wepeople_chassis.stream import state_of
from wepeople_contracts.subjects import STREAMS, ingest_subject, usage_subject
from wepeople_embedded.binaries import nats_server
from wepeople_embedded.child import Child
from wepeople_embedded.nats_server import NatsServer, configuration
from wepeople_embedded.ports import free_port
from wepeople_provision.certificates import new_authority
from wepeople_provision.provision import nats_at
from wepeople_provision.stream import provision_streams

EVENTS = ingest_subject("org_1", "app_1", "events")


class TlsServer:
    """A nats-server that speaks TLS alone, and the file of whom its clients believe."""

    def __init__(self, directory: Path) -> None:
        self.ca_file = write_ca(directory)
        self.port = free_port()
        certificate, key = write_server(directory)
        tls = f'tls {{ cert_file: "{certificate}", key_file: "{key}", handshake_first: true }}\n'
        file = directory / "nats-server.conf"
        file.write_text(configuration(directory / "jetstream", self.port, "wepeople") + ACCESS + tls)
        self.child = Child("nats", [nats_server(), "--config", file], log_path=directory / "nats.log")

    def address(self, user: str, host: str = "127.0.0.1") -> NatsAddress:
        """The server as one of its users."""
        return NatsAddress(f"tls://{host}:{self.port}", SEEDS[user], self.ca_file)


@pytest.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TlsServer]:
    server = TlsServer(tmp_path_factory.mktemp("nats-tls"))
    server.child.spawn()
    async with nats_at(server.address("provision")) as connection:
        await provision_streams(connection)
    yield server
    await server.child.stop()


async def refusal(address: NatsAddress) -> str:
    """Why a connection is not made."""
    said: list[str] = []

    async def failed(error: Exception) -> None:
        said.append(repr(error))

    options: dict[str, Any] = {
        "allow_reconnect": False,
        "max_reconnect_attempts": 1,
        "connect_timeout": 2,
        "error_cb": failed,
    }
    with pytest.raises((NatsError, OSError, TimeoutError)):
        async with asyncio.timeout(15):
            await connect(address, "refused", **options)
    return " ".join(said)


async def answer(connection: Client, subject: str) -> bytes:
    """What is answered; nothing as long as the server knows of nobody who listens there."""
    try:
        return bytes((await connection.request(subject, b"", timeout=5)).data)
    except NoRespondersError:
        return b""


async def test_requests_and_the_stream_work_through_tls(server: TlsServer) -> None:
    broker = make_broker(server.address("quota"), "quota-rpc")
    broker.subscriber(usage_subject("org_1"))(lambda: "answered")
    gateway = await connect(server.address("gateway", host="localhost"), "gateway")
    try:
        await broker.start()
        await eventually(lambda: answer(gateway, usage_subject("org_1")), lambda data: data == b"answered")
        stored = await gateway.request(EVENTS, b"x" * 1_000_000, timeout=5)
        assert json.loads(stored.data)["stream"] == "INGEST"
        assert (await state_of(gateway, STREAMS[0])).messages >= 1
    finally:
        await broker.stop()
        await gateway.close()


async def test_a_service_is_ready_through_tls_and_the_command_line_reads_without_a_word_about_it(
    server: TlsServer, tmp_path: Path
) -> None:
    url = server.address("gateway").url
    async with running_gateway(url, tmp_path / "gateway.log", nats_ca_file=server.ca_file) as gateway:
        operator = await connect(server.address("operator"), "operator")
        try:
            assert await is_ready(operator, "gateway", timeout_seconds=5)
        finally:
            await operator.close()
        async with client(gateway.url, None) as nobody:
            assert (await nobody.ping()).status == 401
    said = await wepeople(url, "postgresql://nobody", "org", "list", WEPEOPLE_NATS_CA_FILE=str(server.ca_file))
    assert said.code == 1
    words = "The service behind rpc.auth.operator.list_orgs does not answer. Is it running?"
    assert " ".join(said.stderr.split()) == words


async def test_a_connection_comes_back_through_tls_when_the_server_was_away(tmp_path: Path) -> None:
    server = TlsServer(tmp_path)
    server.child.spawn()
    back = asyncio.Event()

    async def on_reconnect() -> None:
        back.set()

    connection = await connect(server.address("provision"), "provision", on_reconnect=on_reconnect)
    try:
        await server.child.kill()
        server.child.spawn()
        await asyncio.wait_for(back.wait(), 30)
        await connection.request("$JS.API.INFO", b"", timeout=10)
    finally:
        await connection.close()
        await server.child.stop()


async def test_a_server_of_another_authority_or_another_name_is_not_believed(server: TlsServer, tmp_path: Path) -> None:
    stranger = tmp_path / "ca.crt"
    stranger.write_text(new_authority().certificate)
    address = server.address("gateway")
    assert "CERTIFICATE_VERIFY_FAILED" in await refusal(NatsAddress(address.url, address.seed, stranger))
    assert "CERTIFICATE_VERIFY_FAILED" in await refusal(NatsAddress(address.url, address.seed))
    assert "CERTIFICATE_VERIFY_FAILED" in await refusal(server.address("gateway", host="127.1"))


async def test_a_server_that_offers_no_tls_is_told_nothing() -> None:
    """Whoever stands between could say in the server's name that TLS is not wanted."""
    heard = asyncio.Queue[bytes]()

    async def pretend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id":"x","version":"2.15.1","nonce":"abc","tls_required":false}\r\n')
        await heard.put(await reader.read(4096))
        writer.close()

    pretending = await asyncio.start_server(pretend, "127.0.0.1", 0)
    port = pretending.sockets[0].getsockname()[1]
    async with pretending:
        await refusal(NatsAddress(f"tls://127.0.0.1:{port}", SEEDS["gateway"]))
        said = await asyncio.wait_for(heard.get(), 5)
    assert said[:1] == b"\x16", "the beginning of a handshake"
    assert b"CONNECT" not in said


async def test_an_address_without_tls_reaches_no_server_that_wants_it(server: TlsServer) -> None:
    assert await refusal(NatsAddress(f"nats://127.0.0.1:{server.port}", SEEDS["gateway"]))


async def test_a_plain_server_is_reached_by_no_address_that_wants_tls(tmp_path: Path) -> None:
    plain = NatsServer(tmp_path / "data", port=free_port(), log_path=tmp_path / "nats.log")
    await plain.start()
    try:
        assert await refusal(NatsAddress(f"tls://127.0.0.1:{plain.port}"))
    finally:
        await plain.stop()


async def test_the_end_of_a_connection_through_tls_is_not_worth_asyncios_words(
    server: TlsServer, caplog: pytest.LogCaptureFixture
) -> None:
    ended = asyncio.Event()

    async def disconnected() -> None:
        ended.set()

    with caplog.at_level(logging.WARNING, logger="asyncio"):
        connection = await connect(server.address("gateway"), "gateway", disconnected_cb=disconnected)
        await connection.close()
        await asyncio.wait_for(ended.wait(), 5)
    assert "eof_received" not in caplog.text
