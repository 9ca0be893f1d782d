"""What nats-server does, and which workaround rests on it. When one of these fails, its workaround may go."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from tests.support.read_models import eventually
from tests.support.servers import Servers
from wepeople_chassis.broker import NatsAddress, close, connect
from wepeople_embedded.binaries import nats_server
from wepeople_embedded.child import Child
from wepeople_embedded.nats_server import configuration
from wepeople_embedded.ports import free_port

STREAM = "TRAP"


@pytest.fixture
async def nats(servers: Servers) -> AsyncIterator[Client]:
    """A connection, and an empty stream `TRAP` on `trap.>`."""
    connection = await connect(NatsAddress(servers.nats_url), "tests-trap")
    await api(connection, f"STREAM.CREATE.{STREAM}", {"name": STREAM, "subjects": ["trap.>"], "storage": "memory"})
    yield connection
    await api(connection, f"STREAM.DELETE.{STREAM}", {})
    await close(connection)


async def api(connection: Client, name: str, body: dict[str, Any]) -> dict[str, Any]:
    """A call of JetStream's API, its error included."""
    reply: dict[str, Any] = json.loads((await connection.request(f"$JS.API.{name}", json.dumps(body).encode())).data)
    return reply


async def publish(connection: Client, message_id: str) -> dict[str, Any]:
    """Store a message under an id; the server's acknowledgement."""
    reply = await connection.request("trap.a", message_id.encode(), headers={"Nats-Msg-Id": message_id})
    ack: dict[str, Any] = json.loads(reply.data)
    return ack


async def test_a_duplicate_is_acknowledged_with_the_first_ones_sequence_hence_the_gateways_replay(
    nats: Client,
) -> None:
    first = await publish(nats, "one")
    await publish(nats, "two")
    again = await publish(nats, "one")
    assert (again["seq"], again["duplicate"]) == (first["seq"], True)


async def test_so_is_a_duplicate_of_a_deleted_message_hence_the_503_of_a_replay_that_cannot_be_read(
    nats: Client,
) -> None:
    first = await publish(nats, "one")
    await api(nats, f"STREAM.MSG.DELETE.{STREAM}", {"seq": first["seq"]})
    assert (await publish(nats, "one"))["seq"] == first["seq"]
    assert (await api(nats, f"STREAM.MSG.GET.{STREAM}", {"seq": first["seq"]}))["error"]["code"] == 404


async def test_a_start_below_the_first_sequence_is_no_error_hence_the_stream_readers_check(nats: Client) -> None:
    for number in range(5):
        await publish(nats, str(number))
    await api(nats, f"STREAM.PURGE.{STREAM}", {"seq": 4})
    config = {"name": "late", "deliver_policy": "by_start_sequence", "opt_start_seq": 1, "ack_policy": "none"}
    made = await api(nats, f"CONSUMER.CREATE.{STREAM}.late", {"stream_name": STREAM, "config": config})
    assert "error" not in made
    assert made["num_pending"] == 2


async def test_a_filled_pull_is_followed_by_a_notice_hence_the_stream_reader_passes_over_it(nats: Client) -> None:
    await publish(nats, "one")
    config = {"name": "pull", "ack_policy": "none", "deliver_policy": "all"}
    await api(nats, f"CONSUMER.CREATE.{STREAM}.pull", {"stream_name": STREAM, "config": config})
    inbox = nats.new_inbox()
    subscription = await nats.subscribe(inbox)
    request = json.dumps({"batch": 1, "max_bytes": 1_000_000, "expires": 1_000_000_000}).encode()
    await nats.publish(f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.pull", request, reply=inbox)
    message, notice = await subscription.next_msg(2), await subscription.next_msg(2)
    assert message.data == b"one"
    assert notice.headers is not None
    assert (notice.headers["Status"], notice.headers["Description"]) == ("409", "Batch Completed")


async def test_the_server_cuts_off_whoever_exceeds_max_payload_with_headers_hence_the_publishers_own_check(
    servers: Servers,
) -> None:
    cut_off = asyncio.Event()

    async def disconnected() -> None:
        cut_off.set()

    victim = await connect(NatsAddress(servers.nats_url), "tests-too-large", disconnected_cb=disconnected)
    try:
        await victim.publish("nowhere", bytes(victim.max_payload))
        await victim.flush()
        assert not cut_off.is_set()
        await victim.publish("nowhere", bytes(victim.max_payload), headers={"A": "b"})
        await asyncio.wait_for(cut_off.wait(), 10)
    finally:
        await close(victim)


async def test_a_slow_subscriber_loses_messages_in_silence_hence_the_stream_reader_pulls(nats: Client) -> None:
    received: list[Msg] = []
    go_on = asyncio.Event()

    async def slow(message: Msg) -> None:
        await go_on.wait()
        received.append(message)

    await nats.subscribe("trap.slow", cb=slow, pending_msgs_limit=10)
    for _ in range(50):
        await nats.publish("trap.slow", b"")
    await nats.flush()
    go_on.set()
    await nats.flush()
    await eventually(_now(received), lambda seen: len(seen) >= 10)
    assert len(received) < 50


async def test_the_servers_default_is_to_sync_every_two_minutes_hence_our_configuration(tmp_path: Path) -> None:
    ours = configuration(tmp_path / "ours", free_port(), "ours")
    assert (await _jetstream_settings(tmp_path, ours)).get("sync_always") is True
    default = ours.replace("sync_interval: always", "").replace(str(tmp_path / "ours"), str(tmp_path / "default"))
    settings = await _jetstream_settings(tmp_path, default)
    assert settings["sync_interval"] == 120_000_000_000
    assert not settings.get("sync_always")


async def _jetstream_settings(directory: Path, text: str) -> dict[str, Any]:
    """What a nats-server of this configuration says of its JetStream."""
    monitor = free_port()
    file = directory / f"{monitor}.conf"
    file.write_text(f"{text}\nhttp: 127.0.0.1:{monitor}\n")
    server = Child("nats", [nats_server(), "--config", file], log_path=directory / "nats.log")
    server.spawn()
    try:
        async with aiohttp.ClientSession() as session:

            async def ask() -> dict[str, Any]:
                try:
                    async with session.get(f"http://127.0.0.1:{monitor}/varz") as response:
                        found: dict[str, Any] = (await response.json()).get("jetstream", {}).get("config", {})
                        return found
                except aiohttp.ClientError:
                    return {}

            return await eventually(ask, bool, what="the server's settings")
    finally:
        await server.kill()


def _now(values: list[Any]) -> Any:
    async def ask() -> list[Any]:
        return values

    return ask
