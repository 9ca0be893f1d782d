"""What a stream is not any more after it was restored: the reason for `wepeople stream adopt` and for a restart."""

from pathlib import Path

from nats.aio.client import Client
from nats.js.api import PubAck

from tests.support.lone_stream import Server, eventually
from wepeople_chassis.broker import NatsAddress, connect
from wepeople_chassis.stream import StreamState, jetstream, state_of
from wepeople_contracts.subjects import STREAMS
from wepeople_provision.stream import provision_streams
from wepeople_provision.stream_copy import backup, restore


async def publish(connection: Client) -> PubAck:
    return await connection.jetstream().publish("ingest.0.org.app.events", b"x", headers={"Nats-Msg-Id": "once"})


async def restored(connection: Client, copy: Path) -> tuple[StreamState, StreamState]:
    """The stream before, with one message, and after it was brought back from its copy."""
    await eventually(lambda: provision_streams(connection))
    await publish(connection)
    before = await state_of(connection, STREAMS[0])
    await backup(connection, copy)
    await connection.jetstream().delete_stream("INGEST")
    await restore(connection, copy, replace=False)
    return before, await state_of(connection, STREAMS[0])


async def test_a_restored_stream_has_another_identity_and_the_same_messages(connection: Client, tmp_path: Path) -> None:
    before, after = await restored(connection, tmp_path / "copy")
    assert (after.messages, after.last_sequence) == (before.messages, before.last_sequence) == (1, 1)
    assert after.identity != before.identity


async def test_a_restored_stream_is_not_told_by_its_creation_of_which_each_server_of_a_cluster_has_another(
    connection: Client, tmp_path: Path
) -> None:
    _, after = await restored(connection, tmp_path / "copy")
    assert after.identity != (await jetstream(connection, "STREAM.INFO.INGEST", {}))["created"]


async def test_a_restored_stream_knows_no_message_ids(connection: Client, tmp_path: Path) -> None:
    await restored(connection, tmp_path / "copy")
    again = await publish(connection)
    assert (again.seq, again.duplicate) == (2, None)


async def test_after_a_restart_it_knows_those_within_the_window(
    connection: Client, server: Server, tmp_path: Path
) -> None:
    await restored(connection, tmp_path / "copy")
    server.kill()
    server.start()
    another = await connect(NatsAddress(server.url), "after the restart")
    await eventually(lambda: another.jetstream().stream_info("INGEST"))
    again = await publish(another)
    assert (again.seq, again.duplicate) == (1, True)
    await another.close()
