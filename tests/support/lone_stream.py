"""A nats-server of one test alone, which can be killed, with the stream in it."""

import asyncio
import socket
import subprocess
import sysconfig
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client
from nats.js.api import RetentionPolicy, StorageType, StreamConfig
from nats.js.client import JetStreamContext

from wepeople_chassis.broker import BROKER_DOWN, NatsAddress, connect
from wepeople_chassis.reader import StreamReader
from wepeople_chassis.stream import Batch, StoredMessage
from wepeople_contracts.subjects import STREAM_SUBJECTS, STREAMS

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
    connection = await connect(NatsAddress(server.url), "test-reader")
    yield connection
    await connection.close()


@pytest.fixture
async def stream(connection: Client) -> JetStreamContext:
    await make_stream(connection.jetstream())
    return connection.jetstream(timeout=10)


async def make_stream(js: JetStreamContext) -> None:
    config = StreamConfig(
        name=STREAMS[0],
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


def reader_of(connection: Client, filter_subject: str = EVERYTHING, *, after: int, **options: Any) -> StreamReader:
    """A reader of the stream that `make_stream` makes."""
    return StreamReader(connection, stream=STREAMS[0], filter_subject=filter_subject, after=after, **options)


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
