"""The shared stream reader against a real server, which is killed, restarted, trimmed and replaced under it."""

import asyncio
import contextlib
import socket
import subprocess
import sysconfig
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.aio.client import Client
from nats.js.api import RetentionPolicy, StorageType, StreamConfig
from nats.js.client import JetStreamContext

from wepeople_chassis.broker import BROKER_DOWN, connect
from wepeople_chassis.reader import PULL_BYTES, StreamReader
from wepeople_chassis.stream import Batch, StoredMessage, StreamError, sequence_since, stream_state
from wepeople_contracts.subjects import STREAM, STREAM_SUBJECTS

EVERYTHING = STREAM_SUBJECTS
ONE_PARTITION = "ingest.3.*.*.*"
BIG = 9 * 1024 * 1024


class Server:
    """A nats-server that can be killed and comes back at the same address with what it had stored."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self.url = f"nats://127.0.0.1:{self._port}"
        self._config = folder / "nats.conf"
        self._config.write_text(
            f'host: "127.0.0.1"\nport: {self._port}\nmax_payload: 12MB\nmax_pending: 64MB\n'
            f'jetstream {{ store_dir: "{folder}/store", sync_interval: always }}\n'
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            [f"{sysconfig.get_path('scripts')}/nats-server", "-c", str(self._config)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.fixture
async def connection(server: Server) -> AsyncIterator[Client]:
    connection = await connect(server.url, "test-reader")
    yield connection
    await connection.close()


@pytest.fixture
async def stream(connection: Client) -> JetStreamContext:
    await make_stream(connection.jetstream())
    return connection.jetstream(timeout=10)


async def make_stream(js: JetStreamContext) -> None:
    config = StreamConfig(
        name=STREAM,
        subjects=[STREAM_SUBJECTS],
        storage=StorageType.FILE,
        retention=RetentionPolicy.LIMITS,
        duplicate_window=600,
        max_msg_size=12 * 1024 * 1024,
    )
    await eventually(lambda: js.add_stream(config))


async def eventually(action: Callable[[], Awaitable[Any]]) -> None:
    """Repeat an action until the server, which may be starting, accepts it."""
    async with asyncio.timeout(15):
        while True:
            try:
                await action()
                return
            except BROKER_DOWN:
                await asyncio.sleep(0.05)


async def store(js: JetStreamContext, count: int, *, partition: int = 3, first: int = 0) -> None:
    for start in range(first, first + count, 100):
        numbers = range(start, min(start + 100, first + count))
        await asyncio.gather(*(js.publish(f"ingest.{partition}.org.app.events", str(n).encode()) for n in numbers))


async def read(
    reader: StreamReader, until: Callable[[list[StoredMessage], Batch], bool]
) -> tuple[list[StoredMessage], Batch]:
    """All messages, and the last batch, of a reader that is read until a condition holds."""
    messages: list[StoredMessage] = []
    async with asyncio.timeout(30), aclosing(reader.batches()) as batches:
        async for batch in batches:
            messages.extend(batch.messages)
            if until(messages, batch):
                return messages, batch
    raise AssertionError("batches never end")


async def test_every_message_arrives_once_in_order_and_the_last_one_says_that_nothing_is_left(
    connection: Client, stream: JetStreamContext
) -> None:
    await store(stream, 1500)
    messages, last = await read(
        StreamReader(connection, filter_subject=EVERYTHING, after=0), lambda m, _: len(m) >= 1500
    )
    assert [m.sequence for m in messages] == list(range(1, 1501))
    assert {m.data for m in messages} == {str(n).encode() for n in range(1500)}
    assert (last.through, last.pending) == (1500, 0)


async def test_reading_begins_after_the_given_sequence(connection: Client, stream: JetStreamContext) -> None:
    await store(stream, 20)
    messages, _ = await read(StreamReader(connection, filter_subject=EVERYTHING, after=15), lambda m, _: len(m) >= 5)
    assert [m.sequence for m in messages] == [16, 17, 18, 19, 20]


async def test_a_message_carries_its_subject_id_time_and_bytes(connection: Client, stream: JetStreamContext) -> None:
    ack = await stream.publish("ingest.3.org.app.events", b"\x00body", headers={"Nats-Msg-Id": "abc"})
    (message,), _ = await read(StreamReader(connection, filter_subject=EVERYTHING, after=0), lambda m, _: bool(m))
    assert (message.sequence, message.subject, message.message_id, message.data) == (
        ack.seq,
        "ingest.3.org.app.events",
        "abc",
        b"\x00body",
    )
    stored = await stream.get_msg(STREAM, ack.seq)
    assert stored.time is not None
    assert abs(message.stored_at_ns / 1e9 - stored.time.timestamp()) < 0.001


async def test_with_headers_only_a_message_has_its_id_and_no_bytes(
    connection: Client, stream: JetStreamContext
) -> None:
    await stream.publish("ingest.3.org.app.events", b"body", headers={"Nats-Msg-Id": "abc"})
    reader = StreamReader(connection, filter_subject=EVERYTHING, after=0, headers_only=True)
    (message,), _ = await read(reader, lambda m, _: bool(m))
    assert (message.message_id, message.data) == ("abc", b"")


async def test_the_first_sequence_since_a_moment_is_found(connection: Client, stream: JetStreamContext) -> None:
    await store(stream, 3)
    between = await stream.get_msg(STREAM, 3)
    assert between.time is not None
    before, after = between.time.timestamp() - 60, between.time.timestamp() + 1
    async with asyncio.timeout(5):
        while time.time() < after + 1:
            await asyncio.sleep(0.05)
    assert await sequence_since(connection, int(after * 1e9)) == 4
    await store(stream, 2)
    assert await sequence_since(connection, int(after * 1e9)) == 4
    assert await sequence_since(connection, int(before * 1e9)) == 1
    assert await sequence_since(connection, time.time_ns() + 60 * 10**9) == 6


async def test_messages_stored_while_reading_arrive_as_they_come(connection: Client, stream: JetStreamContext) -> None:
    reader = StreamReader(connection, filter_subject=EVERYTHING, after=0)
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
    reader = StreamReader(connection, filter_subject=ONE_PARTITION, after=0)
    messages, last = await read(reader, lambda _, batch: not batch.messages)
    assert [m.sequence for m in messages] == [*range(1, 11), *range(51, 61)]
    assert (last.through, last.pending) == (100, 0)


async def test_a_reader_of_an_idle_partition_misses_nothing_that_comes_later(
    connection: Client, stream: JetStreamContext
) -> None:
    await store(stream, 50, partition=5)
    reader = StreamReader(connection, filter_subject=ONE_PARTITION, after=0)
    _, idle = await read(reader, lambda _, batch: batch.through == 50)
    await store(stream, 5, partition=5)
    await store(stream, 1, partition=3, first=7)
    messages, _ = await read(reader, lambda m, _: bool(m))
    assert idle.pending == 0
    assert [(m.sequence, m.data) for m in messages] == [(56, b"7")]


async def test_pending_counts_what_is_still_to_come(connection: Client, stream: JetStreamContext) -> None:
    await store(stream, 1200)
    seen = 0
    async with aclosing(StreamReader(connection, filter_subject=EVERYTHING, after=0).batches()) as batches:
        async for batch in batches:
            seen += len(batch.messages)
            assert batch.pending == 1200 - seen
            if batch.pending == 0:
                break
    assert seen == 1200


async def test_nothing_is_missed_or_doubled_when_the_server_is_killed_and_restarted_under_load(
    server: Server, connection: Client, stream: JetStreamContext
) -> None:
    reader = StreamReader(connection, filter_subject=EVERYTHING, after=0)
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
                if stop.is_set() and batch.pending == 0 and messages[-1].sequence >= acknowledged[-1]:
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
    reader = StreamReader(connection, filter_subject=EVERYTHING, after=0)
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
        aclosing(StreamReader(connection, filter_subject=EVERYTHING, after=0).batches()) as batches,
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
        aclosing(StreamReader(connection, filter_subject=EVERYTHING, after=0).batches()) as batches,
    ):
        async for batch in batches:
            messages.extend(batch.messages)
            if len(messages) == 3:
                for consumer in await stream.consumers_info(STREAM):
                    await stream.delete_consumer(STREAM, consumer.name)
                await store(stream, 2, first=3)
            if len(messages) >= 5:
                break
    assert [m.sequence for m in messages] == [1, 2, 3, 4, 5]


async def test_no_consumer_is_left_behind(connection: Client, stream: JetStreamContext) -> None:
    await store(stream, 1)
    await read(StreamReader(connection, filter_subject=EVERYTHING, after=0), lambda m, _: bool(m))
    async with asyncio.timeout(5):
        while await stream.consumers_info(STREAM):
            await asyncio.sleep(0.05)


async def test_the_identity_of_a_stream_outlives_the_server(
    server: Server, connection: Client, stream: JetStreamContext
) -> None:
    await store(stream, 1)
    before = await stream_state(connection)
    server.kill()
    server.start()
    await eventually(lambda: stream_state(connection))
    assert await stream_state(connection) == before


async def test_a_stream_made_anew_is_not_read_with_an_old_checkpoint(
    connection: Client, stream: JetStreamContext
) -> None:
    old = await stream_state(connection)
    await stream.delete_stream(STREAM)
    await make_stream(stream)
    await store(stream, 10)
    reader = StreamReader(connection, filter_subject=EVERYTHING, after=5, identity=old.created)
    with pytest.raises(StreamError, match="the checkpoint belongs to one of"):
        await read(reader, lambda m, _: bool(m))


async def test_a_stream_replaced_while_it_is_read_is_noticed(connection: Client, stream: JetStreamContext) -> None:
    async def read_while_it_is_replaced() -> None:
        reader = StreamReader(connection, filter_subject=EVERYTHING, after=0)
        await read(reader, lambda m, _: bool(m))
        await stream.delete_stream(STREAM)
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
    await stream.purge_stream(STREAM, seq=6)
    with pytest.raises(StreamError, match="begins at 6, but 4 comes next"):
        await read(StreamReader(connection, filter_subject=EVERYTHING, after=3), lambda m, _: bool(m))


async def test_a_stream_trimmed_up_to_the_checkpoint_is_read_on(connection: Client, stream: JetStreamContext) -> None:
    await store(stream, 10)
    await stream.purge_stream(STREAM, seq=6)
    messages, _ = await read(StreamReader(connection, filter_subject=EVERYTHING, after=5), lambda m, _: len(m) >= 5)
    assert [m.sequence for m in messages] == [6, 7, 8, 9, 10]


async def test_a_stream_that_ends_before_the_checkpoint_is_an_error(
    connection: Client, stream: JetStreamContext
) -> None:
    await store(stream, 3)
    with pytest.raises(StreamError, match="ends at 3, before the checkpoint 9"):
        await read(StreamReader(connection, filter_subject=EVERYTHING, after=9), lambda m, _: bool(m))


async def test_a_missing_stream_is_an_error(connection: Client) -> None:
    await eventually(lambda: connection.jetstream().account_info())
    with pytest.raises(StreamError, match="stream not found"):
        await stream_state(connection)


async def test_an_empty_stream_is_caught_up_at_zero(connection: Client, stream: JetStreamContext) -> None:
    messages, batch = await read(StreamReader(connection, filter_subject=EVERYTHING, after=0), lambda _, __: True)
    assert (messages, batch.through, batch.pending) == ([], 0, 0)


async def test_a_closed_connection_ends_the_reader(server: Server, stream: JetStreamContext) -> None:
    own: Client = await nats.connect(server.url)
    reader = StreamReader(own, filter_subject=EVERYTHING, after=0)
    await read(reader, lambda _, __: True)
    await own.close()
    with pytest.raises(BROKER_DOWN):
        await read(reader, lambda _, __: True)
