"""A stream with three copies is split under load, while a node is away, and its new leader is lost right after."""

import asyncio

import pytest
from nats.aio.client import Client

from tests.support.nats_cluster import NODES, NatsCluster
from tests.support.read_models import eventually
from tests.support.splitting import Load, load, split_stream, subject_in, wrongs
from wepeople_chassis.broker import BROKER_DOWN, NatsAddress, connect
from wepeople_chassis.stream import StreamError, state_of, stream_states
from wepeople_gateway.ingest.publish import Publisher
from wepeople_provision.errors import ProvisionError
from wepeople_provision.stream_api import ask, streams_there
from wepeople_provision.stream_split import carry_out, unfinished

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


async def copies(connection: Client, stream: str) -> int:
    try:
        return (await state_of(connection, stream)).copies
    except (StreamError, *BROKER_DOWN):
        return 0


async def whole(connection: Client, stream: str) -> None:
    await eventually(lambda: copies(connection, stream), lambda count: count == len(NODES), within_seconds=60)


async def leader(connection: Client, stream: str) -> str:
    name: str = (await ask(connection, "STREAM.INFO", stream))["cluster"]["leader"]
    return name


async def takers(connection: Client) -> dict[int, str]:
    return {partition: state.name for state in await stream_states(connection) for partition in state.partitions}


async def test_no_publish_fails_none_is_lost_none_doubled_and_a_lost_leader_forgets_no_id(
    cluster: NatsCluster, connection: Client
) -> None:
    await whole(connection, "INGEST")
    async with load(cluster.url) as running:
        await running.more(100)
        done = await split_stream(connection, "INGEST")
        await running.more(100)
    print(f"{done}; {len(running.answers)} messages, the slowest {running.longest_seconds:.2f} s")
    assert await wrongs(connection, running.answers, await takers(connection)) == []
    assert (await state_of(connection, "INGEST_8")).copies_wanted == len(NODES)
    await whole(connection, "INGEST_8")
    await cluster.nodes[await leader(connection, "INGEST_8")].kill()
    await every_id_is_known(cluster, running)


async def every_id_is_known(cluster: NatsCluster, before: Load) -> None:
    """Each message is refused as a duplicate with the sequence that its publisher was told."""
    publishing = await connect(NatsAddress(cluster.url), "tests-again", pending_size=0)
    publisher = Publisher(publishing, 60)
    try:
        for message_id, stored in before.answers.items():
            partition = int(message_id.rpartition("-")[2])
            again = await publisher.publish(subject_in(partition), message_id, message_id.encode())
            assert (again.sequence, again.duplicate) == (stored.sequence, True), (message_id, stored, again)
    finally:
        await publishing.close()


async def test_while_a_copy_is_not_whole_a_split_is_refused_and_nothing_is_changed(
    cluster: NatsCluster, connection: Client
) -> None:
    await whole(connection, "INGEST")
    victim = next(name for name in NODES if name != "north")
    await cluster.nodes[victim].kill()
    await eventually(lambda: copies(connection, "INGEST"), lambda count: count == 2, within_seconds=60)
    with pytest.raises(ProvisionError, match=f"{victim} is not whole"):
        await split_stream(connection, "INGEST")
    assert set((await takers(connection)).values()) == {"INGEST"}
    await cluster.nodes[victim].start()
    await whole(connection, "INGEST")
    assert (await split_stream(connection, "INGEST")).split.new == "INGEST_8"


async def test_a_leader_that_is_lost_while_its_stream_is_split_delays_the_split_and_loses_nothing(
    cluster: NatsCluster, connection: Client
) -> None:
    await whole(connection, "INGEST")
    lost = cluster.nodes[await leader(connection, "INGEST")]
    async with load(cluster.url, deadline_seconds=60) as running:
        await running.more(100)
        splitting = asyncio.create_task(split_stream(connection, "INGEST"))
        await eventually(lambda: exists(connection, "INGEST_8"), bool, within_seconds=30)
        await lost.kill()
        await asyncio.wait((splitting,))
        print("split while its leader was lost:", splitting.exception() or splitting.result())
        await lost.start()
        await whole(connection, "INGEST")
        await eventually(lambda: finished(connection), bool, within_seconds=60, what="a finished split")
        await running.more(100)
    assert (await takers(connection))[9] == "INGEST_8"
    assert await wrongs(connection, running.answers, await takers(connection)) == []


async def exists(connection: Client, stream: str) -> bool:
    return stream in await streams_there(connection)


async def finished(connection: Client) -> bool:
    """Run it again as an operator would."""
    try:
        for left in unfinished(await streams_there(connection)):
            await carry_out(connection, left)
    except (ProvisionError, *BROKER_DOWN):
        return False
    return True
