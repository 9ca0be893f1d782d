"""Partitions that read a backlog together: each gets its own, once and in order, and none holds up the others."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, aclosing

import pytest
from nats.aio.client import Client
from nats.js.client import JetStreamContext

from tests.support.lone_stream import Server, store
from wepeople_chassis.stream import Batch, StoredMessage, StreamError, state_of
from wepeople_chassis.tasks import end
from wepeople_contracts.projection import Projected
from wepeople_contracts.subjects import PARTITIONS, STREAMS, org_filter, partition_filter, partition_of
from wepeople_projections.folding.position import Position
from wepeople_projections.running import reading_together
from wepeople_projections.running.feed import Feed
from wepeople_projections.running.pace import Pace
from wepeople_projections.running.reading_together import PART_OF_ALL

PULL_BYTES = 64 * 1024
ALL = range(PARTITIONS)


async def store_in_turns(stream: JetStreamContext, rounds: int, *, size: int = 0, first: int = 0) -> None:
    """So many messages into every partition: of round n, partition p has the sequence 16 n + p + 1."""
    for n in range(first, first + rounds):
        for partition in ALL:
            await stream.publish(f"ingest.{partition}.org.app.events", str(n).encode() + bytes(size))


def own_sequences(partition: int, rounds: int, *, after: int = 0) -> list[int]:
    """Where a partition's messages are."""
    return [at for n in range(rounds) if (at := PARTITIONS * n + partition + 1) > after]


class Reading:
    """One partition's part."""

    def __init__(self, feed: Feed, partition: int, position: Position, subject: str | None = None) -> None:
        self.messages: list[StoredMessage] = []
        self.through: list[int] = []
        self.pending: list[int] = []
        self._batches: AsyncGenerator[Batch] = feed.batches(
            STREAMS[0], partition, subject or partition_filter(partition), position
        )

    async def until(self, done: Callable[["Reading"], bool]) -> None:
        """Read until a condition holds."""
        async with asyncio.timeout(20):
            async for batch in self._batches:
                self.messages += batch.messages
                self.through.append(batch.through)
                self.pending.append(batch.pending)
                if done(self):
                    return

    async def all_of(self, count: int) -> list[int]:
        """The sequences of so many messages."""
        await self.until(lambda _: len(self.messages) >= count)
        return [message.sequence for message in self.messages]

    async def aclose(self) -> None:
        await self._batches.aclose()


class Readings:
    """Partitions of one process, at positions of their own."""

    def __init__(self, connection: Client, identity: str) -> None:
        self.pace = Pace()
        self._feed = Feed(connection, PULL_BYTES, self.pace)
        self._identity = identity
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> "Readings":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def begin(self, after: dict[int, int]) -> dict[int, Reading]:
        """Partitions that are about to read."""
        readings = {}
        for partition, sequence in after.items():
            reading = Reading(self._feed, partition, Position(self._identity, sequence))
            readings[partition] = await self._stack.enter_async_context(aclosing(reading))
        return readings


@pytest.fixture(autouse=True)
def small_pulls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading_together, "PULL_BYTES", PULL_BYTES)


@pytest.fixture
async def identity(connection: Client, stream: JetStreamContext) -> str:
    return (await state_of(connection, STREAMS[0])).identity


async def read_all(readings: dict[int, Reading], counts: dict[int, int]) -> dict[int, list[int]]:
    found = await asyncio.gather(*(reading.all_of(counts[n]) for n, reading in readings.items() if counts[n]))
    return dict(zip((n for n in readings if counts[n]), found, strict=True))


async def consumers(stream: JetStreamContext) -> list[str]:
    return [info.config.filter_subject or "" for info in await stream.consumers_info(STREAMS[0])]


async def test_each_partition_gets_its_messages_once_and_in_order_by_one_consumer_of_everything(
    connection: Client, stream: JetStreamContext, identity: str
) -> None:
    await store_in_turns(stream, 40, size=10_000)
    async with Readings(connection, identity) as they:
        readings = await they.begin(dict.fromkeys(ALL, 0))
        half = await read_all(readings, dict.fromkeys(ALL, 20))
        assert await consumers(stream) == ["ingest.*.*.*.*"]
        found = await read_all(readings, dict.fromkeys(ALL, 40))

    assert all(len(sequences) >= 20 for sequences in half.values())
    assert found == {partition: own_sequences(partition, 40) for partition in ALL}
    assert readings[3].pending[-1] == 0
    assert readings[3].through == sorted(readings[3].through)


async def test_what_is_left_is_counted_for_each_partition(
    connection: Client, stream: JetStreamContext, identity: str
) -> None:
    await store(stream, 30, partition=3)
    await store(stream, 50, partition=5)
    async with Readings(connection, identity) as they:
        readings = await they.begin(dict.fromkeys(ALL, 0) | {3: 10})
        await asyncio.gather(*(reading.until(lambda _: True) for reading in readings.values()))
        firsts = {n: len(reading.messages) + reading.pending[0] for n, reading in readings.items()}

    assert firsts == dict.fromkeys(ALL, 0) | {3: 20, 5: 50}


async def test_who_stands_behind_the_others_reads_alone_and_who_stands_before_them_gets_only_what_is_new(
    connection: Client, stream: JetStreamContext, identity: str
) -> None:
    await store_in_turns(stream, 20)
    after = dict.fromkeys(ALL, 160) | {0: 0, 7: 100, 9: 200, 15: 300}
    async with Readings(connection, identity) as they:
        readings = await they.begin(after)
        expected = {n: own_sequences(n, 20, after=after[n]) for n in ALL}
        found = await read_all(readings, {n: len(sequences) for n, sequences in expected.items()})

    assert found == expected


async def test_what_is_stored_after_the_backlog_arrives_as_it_comes(
    connection: Client, stream: JetStreamContext, identity: str
) -> None:
    await store_in_turns(stream, 5)
    async with Readings(connection, identity) as they:
        readings = await they.begin(dict.fromkeys(ALL, 0))
        await read_all(readings, dict.fromkeys(ALL, 5))
        await store_in_turns(stream, 5, first=5)
        found = await read_all(readings, dict.fromkeys(ALL, 10))

    assert found == {partition: own_sequences(partition, 10) for partition in ALL}


async def test_a_partition_without_messages_hears_how_far_the_reading_is(
    connection: Client, stream: JetStreamContext, identity: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading_together, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(reading_together, "WAITING_BYTES", PULL_BYTES)
    await store(stream, 1, partition=3)
    for _ in range(30):
        await stream.publish("ingest.5.org.app.events", bytes(PULL_BYTES // 2))
    async with Readings(connection, identity) as they:
        readings = await they.begin(dict.fromkeys(ALL, 0))
        others = [asyncio.create_task(readings[n].until(lambda _: False)) for n in ALL if n not in (5, 9)]
        idle = asyncio.create_task(readings[9].until(lambda it: it.through[-1] >= 5))
        async with asyncio.timeout(20):
            while not idle.done():
                await readings[5].until(lambda _: True)
                await asyncio.sleep(0.06)
        await end(others)

    assert readings[9].messages == []
    assert readings[9].through[-1] < 31, "while the others still read"


async def test_a_partition_that_takes_nothing_holds_the_others_up_for_a_moment_and_misses_nothing(
    connection: Client, stream: JetStreamContext, identity: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading_together, "STALL_SECONDS", 0.2)
    monkeypatch.setattr(reading_together, "WAITING_BYTES", PULL_BYTES)
    await store_in_turns(stream, 20, size=10_000)
    async with Readings(connection, identity) as they:
        readings = await they.begin(dict.fromkeys(ALL, 0))
        others = {n: reading for n, reading in readings.items() if n != 6}
        begun = await asyncio.gather(readings[6].all_of(1), read_all(others, dict.fromkeys(others, 1)))
        await read_all(others, dict.fromkeys(others, 20))
        alone_from = len(readings[6].messages)
        sequences = await readings[6].all_of(20)

    assert len(begun[0]) < 20
    assert alone_from < 20
    assert sequences == own_sequences(6, 20)


async def test_while_all_give_way_to_the_live_read_models_nobody_is_left_to_read_alone(
    connection: Client, stream: JetStreamContext, identity: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading_together, "STALL_SECONDS", 0.1)
    monkeypatch.setattr(reading_together, "WAITING_BYTES", PULL_BYTES)
    await store_in_turns(stream, 40, size=10_000)
    async with Readings(connection, identity) as they:
        they.pace.heard(Projected(partition=0, sequence=1, pending=1))
        readings = await they.begin(dict.fromkeys(ALL, 0))
        await read_all(readings, dict.fromkeys(ALL, 1))
        await asyncio.sleep(0.5)
        await read_all(readings, dict.fromkeys(ALL, 20))

        assert await consumers(stream) == ["ingest.*.*.*.*"]


async def test_what_nobody_takes_is_not_read_on(
    connection: Client, stream: JetStreamContext, identity: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading_together, "WAITING_BYTES", PULL_BYTES)
    await store_in_turns(stream, 40, size=10_000)
    async with Readings(connection, identity) as they:
        readings = await they.begin(dict.fromkeys(ALL, 0))
        await read_all(readings, dict.fromkeys(ALL, 1))
        await asyncio.sleep(0.5)
        (consumer,) = await stream.consumers_info(STREAMS[0])

    assert consumer.delivered is not None
    taken = sum(len(reading.messages) for reading in readings.values())
    assert (consumer.delivered.consumer_seq - taken) * 10_000 <= 3 * PULL_BYTES


@pytest.mark.parametrize("count", [2, PARTITIONS // PART_OF_ALL - 1])
async def test_less_than_half_of_the_partitions_read_each_by_itself(
    count: int, connection: Client, stream: JetStreamContext, identity: str
) -> None:
    await store_in_turns(stream, 20, size=10_000)
    partitions = range(count)
    async with Readings(connection, identity) as they:
        readings = await they.begin(dict.fromkeys(partitions, 0))
        await read_all(readings, dict.fromkeys(partitions, 1))

        assert set(await consumers(stream)) == {partition_filter(partition) for partition in partitions}


async def test_one_org_is_read_alone_by_its_own_subject(
    connection: Client, stream: JetStreamContext, identity: str
) -> None:
    partition = partition_of("org")
    await store(stream, 3, partition=partition)
    await stream.publish(f"ingest.{partition}.other.app.events", b"")
    reading = Reading(Feed(connection, PULL_BYTES, Pace()), partition, Position(identity), org_filter("org"))
    async with aclosing(reading):
        await reading.until(lambda it: it.through[-1] >= 4)

    assert [message.sequence for message in reading.messages] == [1, 2, 3]


async def test_each_is_told_of_a_stream_that_lost_what_comes_next(
    connection: Client, stream: JetStreamContext, identity: str
) -> None:
    await store_in_turns(stream, 2)
    await stream.purge_stream(STREAMS[0], seq=10)
    async with Readings(connection, identity) as they:
        readings = await they.begin(dict.fromkeys(ALL, 0))
        ends = await asyncio.gather(*(reading.all_of(1) for reading in readings.values()), return_exceptions=True)

    assert all(isinstance(error, StreamError) and "begins at 10, but 1 comes next" in str(error) for error in ends)


async def test_whose_stream_is_another_is_told_so_and_the_others_read_on(
    connection: Client, stream: JetStreamContext, identity: str
) -> None:
    await store_in_turns(stream, 2)
    feed = Feed(connection, PULL_BYTES, Pace())
    readings = {n: Reading(feed, n, Position("another" if n == 7 else identity)) for n in ALL}
    ends = await asyncio.gather(*(reading.all_of(2) for reading in readings.values()), return_exceptions=True)
    for reading in readings.values():
        await reading.aclose()

    assert isinstance(ends[7], StreamError)
    assert ends[:7] + ends[8:] == [own_sequences(n, 2) for n in ALL if n != 7]


async def test_nothing_is_missed_or_doubled_when_the_server_is_killed_between(
    server: Server, connection: Client, stream: JetStreamContext, identity: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading_together, "WAITING_BYTES", PULL_BYTES)
    await store_in_turns(stream, 30, size=10_000)
    async with Readings(connection, identity) as they:
        readings = await they.begin(dict.fromkeys(ALL, 0))
        await read_all(readings, dict.fromkeys(ALL, 2))
        server.kill()
        server.start()
        found = await read_all(readings, dict.fromkeys(ALL, 30))

    assert found == {partition: own_sequences(partition, 30) for partition in ALL}


async def test_whoever_leaves_lets_the_others_read_on_and_after_the_last_one_nothing_is_left(
    connection: Client, stream: JetStreamContext, identity: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading_together, "WAITING_BYTES", PULL_BYTES)
    await store_in_turns(stream, 20, size=10_000)
    tasks = asyncio.all_tasks()
    async with Readings(connection, identity) as they:
        readings = await they.begin(dict.fromkeys(ALL, 0))
        await read_all(readings, dict.fromkeys(ALL, 1))
        for partition in range(12):
            await readings.pop(partition).aclose()
        await read_all(readings, dict.fromkeys(readings, 10))
        assert await consumers(stream) == ["ingest.*.*.*.*"]
    left_over = asyncio.all_tasks() - tasks
    async with asyncio.timeout(5):
        while await consumers(stream):
            await asyncio.sleep(0.05)

    assert left_over == set()
