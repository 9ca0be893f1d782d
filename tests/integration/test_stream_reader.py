"""The stream reader: order, gaps, idleness and what is left, against a real nats-server."""

import asyncio
import time
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

from nats.aio.client import Client
from nats.js.client import JetStreamContext

from tests.support.lone_stream import ONE_PARTITION, read, reader_of, store
from wepeople_chassis.stream import sequence_since
from wepeople_contracts.subjects import STREAMS


async def test_every_message_arrives_once_in_order_and_the_last_one_says_that_nothing_is_left(
    connection: Client, stream: JetStreamContext
) -> None:
    await store(stream, 1500)
    messages, last = await read(reader_of(connection, after=0), lambda m, _: len(m) >= 1500)
    assert [m.sequence for m in messages] == list(range(1, 1501))
    assert {m.data for m in messages} == {str(n).encode() for n in range(1500)}
    assert (last.through, last.pending) == (1500, 0)


async def test_reading_begins_after_the_given_sequence(connection: Client, stream: JetStreamContext) -> None:
    await store(stream, 20)
    messages, _ = await read(reader_of(connection, after=15), lambda m, _: len(m) >= 5)
    assert [m.sequence for m in messages] == [16, 17, 18, 19, 20]


async def test_a_message_carries_its_subject_id_time_and_bytes(connection: Client, stream: JetStreamContext) -> None:
    ack = await stream.publish("ingest.3.org.app.events", b"\x00body", headers={"Nats-Msg-Id": "abc"})
    (message,), _ = await read(reader_of(connection, after=0), lambda m, _: bool(m))
    assert (message.sequence, message.subject, message.message_id, message.data) == (
        ack.seq,
        "ingest.3.org.app.events",
        "abc",
        b"\x00body",
    )
    stored = await stream.get_msg(STREAMS[0], ack.seq)
    assert stored.time is not None
    assert abs(message.stored_at_ns / 1e9 - stored.time.timestamp()) < 0.001


async def test_with_headers_only_a_message_has_its_id_and_no_bytes(
    connection: Client, stream: JetStreamContext
) -> None:
    await stream.publish("ingest.3.org.app.events", b"body", headers={"Nats-Msg-Id": "abc"})
    reader = reader_of(connection, after=0, headers_only=True)
    (message,), _ = await read(reader, lambda m, _: bool(m))
    assert (message.message_id, message.data) == ("abc", b"")


async def test_the_first_sequence_since_a_moment_is_found(connection: Client, stream: JetStreamContext) -> None:
    await store(stream, 3)
    between = await stream.get_msg(STREAMS[0], 3)
    assert between.time is not None
    before, after = between.time.timestamp() - 60, between.time.timestamp() + 1
    async with asyncio.timeout(5):
        while time.time() < after + 1:
            await asyncio.sleep(0.05)
    assert await sequence_since(connection, STREAMS[0], int(after * 1e9)) == 4
    await store(stream, 2)
    assert await sequence_since(connection, STREAMS[0], int(after * 1e9)) == 4
    assert await sequence_since(connection, STREAMS[0], int(before * 1e9)) == 1
    assert await sequence_since(connection, STREAMS[0], time.time_ns() + 60 * 10**9) == 6


async def test_any_moment_can_be_asked_for_however_far_away(connection: Client, stream: JetStreamContext) -> None:
    await store(stream, 3)
    for year, expected in ((1, 1), (1969, 1), (2500, 4), (9999, 4)):
        since_1970 = datetime(year, 7, 20, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)
        assert await sequence_since(connection, STREAMS[0], since_1970 // timedelta(microseconds=1) * 1000) == expected


async def test_a_moment_is_exact_to_the_nanosecond(connection: Client, stream: JetStreamContext) -> None:
    await store(stream, 3)
    messages, _ = await read(reader_of(connection, after=0), lambda m, _: len(m) >= 3)
    for message in messages:
        assert await sequence_since(connection, STREAMS[0], message.stored_at_ns) == message.sequence
        assert await sequence_since(connection, STREAMS[0], message.stored_at_ns + 1) == message.sequence + 1


async def test_messages_stored_while_reading_arrive_as_they_come(connection: Client, stream: JetStreamContext) -> None:
    reader = reader_of(connection, after=0)
    reading = asyncio.create_task(read(reader, lambda m, _: len(m) >= 300))
    for n in range(300):
        await store(stream, 1, first=n)
    messages, _ = await reading
    assert [m.data for m in messages] == [str(n).encode() for n in range(300)]


async def test_a_filter_skips_other_partitions_and_an_idle_one_still_advances(
    connection: Client, stream: JetStreamContext
) -> None:
    await store(stream, 10, partition=3)
    await store(stream, 40, partition=5)
    await store(stream, 10, partition=3)
    await store(stream, 40, partition=5)
    reader = reader_of(connection, ONE_PARTITION, after=0)
    messages, last = await read(reader, lambda _, batch: not batch.messages)
    assert [m.sequence for m in messages] == [*range(1, 11), *range(51, 61)]
    assert (last.through, last.pending) == (100, 0)


async def test_a_reader_of_an_idle_partition_misses_nothing_that_comes_later(
    connection: Client, stream: JetStreamContext
) -> None:
    await store(stream, 50, partition=5)
    reader = reader_of(connection, ONE_PARTITION, after=0)
    _, idle = await read(reader, lambda _, batch: batch.through == 50)
    await store(stream, 5, partition=5)
    await store(stream, 1, partition=3, first=7)
    messages, _ = await read(reader, lambda m, _: bool(m))
    assert idle.pending == 0
    assert [(m.sequence, m.data) for m in messages] == [(56, b"7")]


async def test_pending_counts_what_is_still_to_come(connection: Client, stream: JetStreamContext) -> None:
    await store(stream, 1200)
    seen = 0
    async with aclosing(reader_of(connection, after=0).batches()) as batches:
        async for batch in batches:
            seen += len(batch.messages)
            assert batch.pending == 1200 - seen
            if batch.pending == 0:
                break
    assert seen == 1200
