"""Readers of a stream of which partitions leave."""

import asyncio
from contextlib import aclosing
from functools import partial

import pytest
from nats.aio.client import Client

from tests.support.lone_stream import eventually, read, reader_of, store
from tests.support.splitting import split_stream
from wepeople_chassis import reader
from wepeople_chassis.reader import StreamReader
from wepeople_chassis.stream import StreamMoved, state_of, stream_of, stream_states, takers
from wepeople_contracts.subjects import PARTITIONS, STREAM_SUBJECTS, partition_filter
from wepeople_projections.folding.position import Position
from wepeople_projections.running import reading_together
from wepeople_projections.running.pace import Pace
from wepeople_provision.stream import provision_streams

UPPER = range(PARTITIONS // 2, PARTITIONS)


@pytest.fixture
async def streams(connection: Client) -> Client:
    await eventually(lambda: provision_streams(connection))
    return connection


async def publish(connection: Client, rounds: int, size: int = 0) -> None:
    for number in range(rounds):
        for partition in range(PARTITIONS):
            body = str(number).encode() + bytes(size)
            await connection.jetstream().publish(f"ingest.{partition}.org.app.events", body)


async def test_a_partition_is_read_on_in_the_stream_that_takes_it_now(streams: Client) -> None:
    js = streams.jetstream()
    await store(js, 5, partition=9)
    before = reader_of(streams, partition_filter(9), after=0)
    found, batch = await read(before, lambda m, _: len(m) >= 5)
    assert batch.through == 5
    await split_stream(streams, "INGEST")
    await store(js, 3, partition=3)
    await store(js, 5, partition=9)

    with pytest.raises(StreamMoved):
        await read(before, lambda _, __: False)
    stream = await stream_of(streams, 9)
    after = StreamReader(streams, stream=stream.name, filter_subject=partition_filter(9), after=5)
    more, _ = await read(after, lambda m, _: len(m) >= 5)

    assert [int(m.data) for m in found + more] == [0, 1, 2, 3, 4] * 2
    assert stream.identity == (await state_of(streams, "INGEST")).identity


async def test_a_reader_of_several_partitions_hears_soon_that_one_has_left_however_much_comes(streams: Client) -> None:
    await publish(streams, 1)
    everything = reader_of(streams, STREAM_SUBJECTS, after=0)

    async def keep_storing() -> None:
        while True:
            await streams.jetstream().publish("ingest.3.org.app.events", b"")

    storing = asyncio.create_task(keep_storing())
    try:
        async with asyncio.timeout(20), aclosing(everything.batches()) as batches:
            await anext(batches)
            await split_stream(streams, "INGEST")
            with pytest.raises(StreamMoved, match="partition 8, 9, 10, 11, 12, 13, 14, 15"):
                async for _ in batches:
                    pass
    finally:
        storing.cancel()


async def test_who_reads_a_backlog_together_is_never_told_of_what_came_after_it_had_left(
    streams: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "LOOK_SECONDS", 60.0)
    monkeypatch.setattr(reading_together, "PULL_BYTES", 64 * 1024)
    monkeypatch.setattr(reading_together, "WAITING_BYTES", 64 * 1024)
    await publish(streams, 20, size=4_000)
    identity = (await state_of(streams, "INGEST")).identity
    together = reading_together.ReadingTogether(streams, "INGEST", partial(asyncio.sleep, 0), Pace())
    members = {n: together.join(n, Position(identity)) for n in range(PARTITIONS)}
    begun = await asyncio.gather(*(member.take() for member in members.values()))
    assert all(batch is not None and batch.messages for batch in begun)
    await split_stream(streams, "INGEST")
    for _ in range(100):
        await streams.jetstream().publish("ingest.3.org.app.events", bytes(4_000))

    async def take_all(member: reading_together.Member) -> int:
        count = 0
        async with asyncio.timeout(30):
            while (batch := await member.take()) is not None:
                count += len(batch.messages)
        return count

    counts = await asyncio.gather(*map(take_all, members.values()))
    first_new = (await stream_of(streams, 9)).last_sequence + 1

    assert sum(counts) > PARTITIONS, "they read on after the split"
    assert all(members[n].through < first_new for n in UPPER), {n: members[n].through for n in UPPER}


async def test_the_streams_are_named_in_order_and_each_partition_has_one(streams: Client) -> None:
    await split_stream(streams, "INGEST")
    found = await stream_states(streams)
    assert [min(state.partitions) for state in found] == [0, PARTITIONS // 2]
    assert {n: state.name for n, state in (await takers(streams)).items()} == {
        n: state.name for state in found for n in state.partitions
    }


@pytest.mark.parametrize("look_seconds", [0.0, 60.0])
@pytest.mark.parametrize("filter_subject", [partition_filter(9), STREAM_SUBJECTS])
async def test_a_reader_does_not_go_past_what_was_purged_where_its_partition_was(
    filter_subject: str, look_seconds: float, streams: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it looks between two pulls, or only once nothing comes any more."""
    monkeypatch.setattr(reader, "LOOK_SECONDS", look_seconds)
    await store(streams.jetstream(), 2 * reader.PULL_MESSAGES, partition=9)
    reading = reader_of(streams, filter_subject, after=0)
    delivered, through = 0, 0

    async def read_over_a_split() -> None:
        nonlocal delivered, through
        async with aclosing(reading.batches()) as batches:
            async for batch in batches:
                if not delivered:
                    await split_stream(streams, "INGEST")
                    await streams.jetstream().purge_stream("INGEST", subject=partition_filter(9))
                delivered, through = delivered + len(batch.messages), batch.through

    with pytest.raises(StreamMoved):
        await read_over_a_split()
    assert 0 < delivered == through < 2 * reader.PULL_MESSAGES
