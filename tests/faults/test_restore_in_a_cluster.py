"""A stream with three copies is restored, and the node that leads it is lost: those who remember it know it again."""

from pathlib import Path

import pytest
from nats.aio.client import Client

from tests.support.nats_cluster import NODES, NatsCluster, copies_up_to_date, leader_of_stream
from tests.support.read_models import eventually
from wepeople_chassis.broker import BROKER_DOWN
from wepeople_chassis.stream import StreamError, state_of
from wepeople_contracts.subjects import STREAMS
from wepeople_provision.stream_copy import backup, restore

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


async def whole(connection: Client) -> None:
    await eventually(lambda: copies_up_to_date(connection), lambda count: count == len(NODES), within_seconds=60)


async def identity(connection: Client) -> str:
    """Nothing as long as no node leads the stream."""
    try:
        return (await state_of(connection, STREAMS[0])).identity
    except (StreamError, *BROKER_DOWN):
        return ""


async def test_a_restored_stream_stays_the_same_whichever_node_leads_it(
    cluster: NatsCluster, connection: Client, tmp_path: Path
) -> None:
    await connection.jetstream().publish("ingest.0.org.app.events", b"x")
    await backup(connection, tmp_path / "copy")
    await connection.jetstream().delete_stream(STREAMS[0])
    await restore(connection, tmp_path / "copy", replace=False)
    restored = await identity(connection)
    # Only what a quorum has stored behind the copy shows that the others have the copy too: they say so before.
    await connection.jetstream().publish("ingest.0.org.app.events", b"y")
    for _ in NODES:
        await whole(connection)
        lost = cluster.nodes[await leader_of_stream(connection)]
        await lost.kill()
        assert await eventually(lambda: identity(connection), bool, within_seconds=60) == restored
        await lost.start()
