"""One partition: read, fold, write; one transaction after the other, for ever.

While Postgres works on one batch the next is decoded and folded. Whatever fails, memory is dropped and everything
starts again from the stored checkpoint, so a failure needs no other repair.
"""

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import replace

import psycopg
from nats.aio.client import Client

from wepeople_chassis.broker import BROKER_DOWN
from wepeople_chassis.logging import get_logger
from wepeople_chassis.postgres import Pool
from wepeople_chassis.reader import StreamReader
from wepeople_chassis.stream import StoredMessage, stream_state
from wepeople_contracts.subjects import partition_filter
from wepeople_projector.announcing import announce
from wepeople_projector.checkpoint import Fenced, Position, load, load_salts, verify
from wepeople_projector.decode import Decoded, decode
from wepeople_projector.fold import Changeset, Fold
from wepeople_projector.memory import Memory
from wepeople_projector.projections.timeline.table import find_events
from wepeople_projector.projections.workers.table import find_bindings
from wepeople_projector.refused import Refused, write_refused
from wepeople_projector.tasks import run_together
from wepeople_projector.write import Prepared, refused_data, will_pass, write

log = get_logger(__name__)

BATCH_BYTES = 4 * 1024 * 1024
"""Some 15,000 rows of the usual size."""
BATCHES_IN_FLIGHT = 2
IDLE_SECONDS = 5.0
RETRY_SECONDS = 0.5


class PartitionRunner:
    """Keeps the read models of one partition up to date; `loaded` is set once it has begun."""

    def __init__(self, partition: int, connection: Client, pool: Pool) -> None:
        self.loaded = asyncio.Event()
        self._partition = partition
        self._connection = connection
        self._pool = pool
        self._one_by_one_through = 0
        self._log = log.bind(partition=partition)

    async def run(self) -> None:
        """Run until cancelled.

        `StreamError` when the stream is not the one that was applied; `psycopg.Error` when the database refuses for a
        reason that is neither the rows' nor passing (a table or a permission is missing); what NATS raised when its
        connection is closed for good.
        """
        while True:
            try:
                await self._session()
            except Fenced as fenced:
                self._log.warning("fenced", expected=fenced.expected)
            except Refused as refused:
                self._one_by_one_through = refused.through
                self._log.warning("batch_refused", through=refused.through, error=str(refused.__cause__))
            except psycopg.Error as error:
                if not will_pass(error):
                    raise
                self._log.warning("database_away", error=str(error))
            except BROKER_DOWN as error:
                if self._connection.is_closed:
                    raise
                self._log.warning("stream_away", error=repr(error))
            await asyncio.sleep(RETRY_SECONDS)

    async def _session(self) -> None:
        """Load, then prepare and write side by side until one of the two fails."""
        stream = await stream_state(self._connection)
        async with self._pool.connection() as connection:
            position = await load(connection, self._partition, stream.created)
            memory = Memory(await load_salts(connection, self._partition))
        await verify(self._connection, position, stream)
        reader = StreamReader(
            self._connection,
            filter_subject=partition_filter(self._partition),
            after=position.sequence,
            identity=position.stream_identity,
        )
        self.loaded.set()
        await announce(self._connection, self._partition, position.sequence)
        prepared: asyncio.Queue[Prepared] = asyncio.Queue()
        room = asyncio.Semaphore(BATCHES_IN_FLIGHT)
        await run_together(
            asyncio.create_task(self._prepare(reader, memory, position, prepared, room)),
            asyncio.create_task(self._write(memory, prepared, room)),
        )

    async def _prepare(
        self,
        reader: StreamReader,
        memory: Memory,
        position: Position,
        prepared: asyncio.Queue[Prepared],
        room: asyncio.Semaphore,
    ) -> None:
        clock = asyncio.get_running_loop().time
        moved_at = clock()
        async with aclosing(reader.batches()) as batches:
            async for batch in batches:
                if not batch.messages and (batch.through == position.sequence or clock() < moved_at + IDLE_SECONDS):
                    continue
                for messages in self._split(batch.messages):
                    await room.acquire()
                    changes = await self._fold(memory, messages)
                    end = position.after(messages[-1]) if messages else replace(position, sequence=batch.through)
                    await prepared.put(Prepared(messages, changes, position, end))
                    position = end
                moved_at = clock()

    def _split(self, messages: list[StoredMessage]) -> Iterator[list[StoredMessage]]:
        """Parts that fit into one transaction; no message is one empty part, which moves the checkpoint."""
        part: list[StoredMessage] = []
        size = 0
        for message in messages:
            part.append(message)
            size += len(message.data)
            if size >= BATCH_BYTES or message.sequence <= self._one_by_one_through:
                yield part
                part, size = [], 0
        if part or not messages:
            yield part

    async def _fold(self, memory: Memory, messages: list[StoredMessage]) -> Changeset:
        # Now and then the loop is let go on: it is the one that sends Postgres the batch before.
        decoded: list[Decoded] = []
        for stored in messages:
            decoded.append(decode(stored))
            await asyncio.sleep(0)
        fold = Fold(memory, decoded)
        identifiers, event_ids = fold.unknown()
        if identifiers or event_ids:
            async with self._pool.connection() as connection:
                fold.begin(await find_bindings(connection, identifiers), await find_events(connection, event_ids))
        else:
            fold.begin({}, set())
        for message in fold.messages:
            fold.apply(message)
            await asyncio.sleep(0)
        return fold.changes

    async def _write(self, memory: Memory, prepared: asyncio.Queue[Prepared], room: asyncio.Semaphore) -> None:
        while True:
            batch = await prepared.get()
            try:
                await write(self._pool, self._partition, batch)
            except psycopg.Error as error:
                if not refused_data(error):
                    raise
                await write_refused(self._pool, self._partition, batch, error)
            for row in batch.changes.parked:
                self._log.error("parked", sequence=row.sequence, row=row.row_index, reason=row.reason)
            memory.commit_batch()
            room.release()
            await announce(self._connection, self._partition, batch.end.sequence)
