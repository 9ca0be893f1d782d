"""The stream reader when servers die, consumers vanish and streams are not what they were."""

import asyncio
import contextlib
from contextlib import aclosing

import nats
import pytest
from nats.aio.client import Client
from nats.js.client import JetStreamContext

from tests.support.lone_stream import BIG, Server, eventually, make_stream, read, reader_of, store
from wepeople_chassis.broker import BROKER_DOWN
from wepeople_chassis.reader import PULL_BYTES
from wepeople_chassis.stream import StoredMessage, StreamError, state_of
from wepeople_contracts.subjects import STREAMS


async def test_nothing_is_missed_or_doubled_when_the_server_is_killed_and_restarted_under_load(
    server: Server, connection: Client, stream: JetStreamContext
) -> None:
    reader = reader_of(connection, after=0)
    acknowledged: list[int] = []
    stop = asyncio.Event()

    async def keep_storing() -> None:
        number = 0
        while not stop.is_set():
            with contextlib.suppress(*BROKER_DOWN):
                ack = await stream.publish("ingest.3.org.app.events", str(number).encode(), timeout=1)
                acknowledged.append(ack.seq)
                number += 1

    messages: list[StoredMessage] = []

    async def keep_reading() -> None:
        async with aclosing(reader.batches()) as batches:
            async for batch in batches:
                messages.extend(batch.messages)
                if writing.done() and batch.pending == 0 and messages[-1].sequence >= acknowledged[-1]:
                    return

    writing, reading = asyncio.create_task(keep_storing()), asyncio.create_task(keep_reading())
    for _ in range(3):
        before = len(acknowledged)
        async with asyncio.timeout(20):
            while len(acknowledged) < before + 200:
                await asyncio.sleep(0.01)
        server.kill()
        server.start()
    before = len(acknowledged)
    async with asyncio.timeout(20):
        while len(acknowledged) < before + 200:
            await asyncio.sleep(0.01)
    stop.set()
    await writing
    async with asyncio.timeout(20):
        await reading
    sequences = [m.sequence for m in messages]
    assert sequences == list(range(1, sequences[-1] + 1))
    assert set(acknowledged) <= set(sequences)


async def test_large_messages_arrive_although_only_two_fit_into_one_pull(
    connection: Client, stream: JetStreamContext
) -> None:
    assert 2 * BIG < PULL_BYTES < 3 * BIG
    for n in range(5):
        await stream.publish("ingest.3.org.app.events", bytes([n]) * BIG)
    reader = reader_of(connection, after=0)
    async with asyncio.timeout(20):
        messages, last = await read(reader, lambda m, _: len(m) >= 5)
    assert [(m.sequence, m.data[0], len(m.data)) for m in messages] == [(n + 1, n, BIG) for n in range(5)]
    assert last.pending == 0


async def test_a_reader_that_stops_for_long_between_two_batches_goes_on_where_it_was(
    connection: Client, stream: JetStreamContext
) -> None:
    await store(stream, 700)
    messages: list[StoredMessage] = []
    async with (
        asyncio.timeout(30),
        aclosing(reader_of(connection, after=0).batches()) as batches,
    ):
        async for batch in batches:
            messages.extend(batch.messages)
            if len(messages) == 700:
                break
            await asyncio.sleep(0.7)
    assert [m.sequence for m in messages] == list(range(1, 701))


async def test_a_consumer_that_vanishes_is_replaced(connection: Client, stream: JetStreamContext) -> None:
    await store(stream, 3)
    messages: list[StoredMessage] = []
    async with (
        asyncio.timeout(30),
        aclosing(reader_of(connection, after=0).batches()) as batches,
    ):
        async for batch in batches:
            messages.extend(batch.messages)
            if len(messages) == 3:
                for consumer in await stream.consumers_info(STREAMS[0]):
                    await stream.delete_consumer(STREAMS[0], consumer.name)
                await store(stream, 2, first=3)
            if len(messages) >= 5:
                break
    assert [m.sequence for m in messages] == [1, 2, 3, 4, 5]


async def test_no_consumer_is_left_behind(connection: Client, stream: JetStreamContext) -> None:
    await store(stream, 1)
    await read(reader_of(connection, after=0), lambda m, _: bool(m))
    async with asyncio.timeout(5):
        while await stream.consumers_info(STREAMS[0]):
            await asyncio.sleep(0.05)


async def test_the_identity_of_a_stream_outlives_the_server(
    server: Server, connection: Client, stream: JetStreamContext
) -> None:
    await store(stream, 1)
    before = await state_of(connection, STREAMS[0])
    server.kill()
    server.start()
    await eventually(lambda: state_of(connection, STREAMS[0]))
    assert await state_of(connection, STREAMS[0]) == before


async def test_a_stream_made_anew_is_not_read_with_an_old_checkpoint(
    connection: Client, stream: JetStreamContext
) -> None:
    old = await state_of(connection, STREAMS[0])
    await stream.delete_stream(STREAMS[0])
    await make_stream(stream)
    await store(stream, 10)
    reader = reader_of(connection, after=5, identity=old.identity)
    with pytest.raises(StreamError, match="the checkpoint belongs to one of"):
        await read(reader, lambda m, _: bool(m))


async def test_a_stream_replaced_while_it_is_read_is_noticed(connection: Client, stream: JetStreamContext) -> None:
    async def read_while_it_is_replaced() -> None:
        reader = reader_of(connection, after=0)
        await read(reader, lambda m, _: bool(m))
        await stream.delete_stream(STREAMS[0])
        await make_stream(stream)
        await store(stream, 3)
        await read(reader, lambda m, _: bool(m))

    await store(stream, 1)
    with pytest.raises(StreamError, match="the checkpoint belongs to one of"):
        await read_while_it_is_replaced()


async def test_messages_trimmed_before_they_were_read_are_an_error(
    connection: Client, stream: JetStreamContext
) -> None:
    await store(stream, 10)
    await stream.purge_stream(STREAMS[0], seq=6)
    with pytest.raises(StreamError, match="begins at 6, but 4 comes next"):
        await read(reader_of(connection, after=3), lambda m, _: bool(m))


async def test_a_stream_trimmed_up_to_the_checkpoint_is_read_on(connection: Client, stream: JetStreamContext) -> None:
    await store(stream, 10)
    await stream.purge_stream(STREAMS[0], seq=6)
    messages, _ = await read(reader_of(connection, after=5), lambda m, _: len(m) >= 5)
    assert [m.sequence for m in messages] == [6, 7, 8, 9, 10]


async def test_a_stream_that_ends_before_the_checkpoint_is_an_error(
    connection: Client, stream: JetStreamContext
) -> None:
    await store(stream, 3)
    with pytest.raises(StreamError, match="ends at 3, before the checkpoint 9"):
        await read(reader_of(connection, after=9), lambda m, _: bool(m))


async def test_a_missing_stream_is_an_error(connection: Client) -> None:
    await eventually(lambda: connection.jetstream().account_info())
    with pytest.raises(StreamError, match="stream not found"):
        await state_of(connection, STREAMS[0])


async def test_an_empty_stream_is_caught_up_at_zero(connection: Client, stream: JetStreamContext) -> None:
    messages, batch = await read(reader_of(connection, after=0), lambda _, __: True)
    assert (messages, batch.through, batch.pending) == ([], 0, 0)


async def test_a_closed_connection_ends_the_reader(server: Server, stream: JetStreamContext) -> None:
    own: Client = await nats.connect(server.url)
    reader = reader_of(own, after=0)
    await read(reader, lambda _, __: True)
    await own.close()
    with pytest.raises(BROKER_DOWN):
        await read(reader, lambda _, __: True)
