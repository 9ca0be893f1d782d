"""One partition: read, fold, write; one transaction after the other, for ever.

While Postgres works on one batch the next is decoded and folded. Whatever fails, memory is dropped and everything
starts again from the stored checkpoint, so a failure needs no other repair.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, replace

import psycopg
from nats.aio.client import Client

from wepeople_chassis.broker import BROKER_DOWN
from wepeople_chassis.logging import get_logger
from wepeople_chassis.postgres import Pool
from wepeople_chassis.stream import Batch, StoredMessage, StreamReader, stream_state
from wepeople_contracts.subjects import partition_filter
from wepeople_projector.checkpoint import Fenced, Position, load, load_salts, verify
from wepeople_projector.decode import Decoded, Fact, Request, decode, park
from wepeople_projector.fold import Changeset, Fold
from wepeople_projector.memory import Memory
from wepeople_projector.projections.workers.table import find_bindings
from wepeople_projector.tasks import run_together
from wepeople_projector.write import refused_data, unfit_for_jsonb, will_pass, write

log = get_logger(__name__)

BATCH_ROWS = 10_000
BATCH_BYTES = 16 * 1024 * 1024
BATCHES_IN_FLIGHT = 2
IDLE_SECONDS = 5.0
RETRY_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Prepared:
    """A batch ready to be written, and where the checkpoint stands after it."""

    messages: list[StoredMessage]
    changes: Changeset
    end: Position


class Refused(Exception):
    """Postgres takes none of a batch because of one row: its messages, up to `through`, are written one by one."""

    def __init__(self, through: int) -> None:
        super().__init__(f"a message up to {through} was refused")
        self.through = through


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
        prepared: asyncio.Queue[Prepared] = asyncio.Queue()
        room = asyncio.Semaphore(BATCHES_IN_FLIGHT)
        await run_together(
            asyncio.create_task(self._prepare(reader, memory, position, prepared, room)),
            asyncio.create_task(self._write(memory, position, prepared, room)),
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
                async for messages, decoded in self._split(batch):
                    await room.acquire()
                    changes = await self._fold(memory, decoded)
                    position = position.after(messages[-1]) if messages else replace(position, sequence=batch.through)
                    await prepared.put(Prepared(messages, changes, position))
                moved_at = clock()

    async def _split(self, batch: Batch) -> AsyncIterator[tuple[list[StoredMessage], list[Decoded]]]:
        """Decode, in parts that fit into one transaction; an empty batch is one empty part."""
        messages: list[StoredMessage] = []
        decoded: list[Decoded] = []
        rows = size = 0
        for message in batch.messages:
            messages.append(message)
            decoded.append(decode(message))
            rows, size = rows + _rows(decoded[-1]), size + len(message.data)
            if rows >= BATCH_ROWS or size >= BATCH_BYTES or message.sequence <= self._one_by_one_through:
                yield messages, decoded
                messages, decoded, rows, size = [], [], 0, 0
            await asyncio.sleep(0)  # decoding is long; others want the loop
        if messages or not batch.messages:
            yield messages, decoded

    async def _fold(self, memory: Memory, decoded: list[Decoded]) -> Changeset:
        fold = Fold(memory, decoded)
        bindings, asked = fold.unknown()
        if asked:
            async with self._pool.connection() as connection:
                bindings |= await find_bindings(connection, asked)
        fold.begin(bindings)
        for message in fold.messages:
            fold.apply(message)
            await asyncio.sleep(0)
        return fold.changes

    async def _write(
        self, memory: Memory, position: Position, prepared: asyncio.Queue[Prepared], room: asyncio.Semaphore
    ) -> None:
        while True:
            batch = await prepared.get()
            try:
                await write(self._pool, self._partition, position, batch.end, batch.changes)
            except psycopg.Error as error:
                if not refused_data(error):
                    raise
                await self._write_refused(position, batch, error)
            for row in batch.changes.parked:
                self._log.error("parked", sequence=row.sequence, row=row.row_index, reason=row.reason)
            memory.commit_batch()
            position = batch.end
            room.release()

    async def _write_refused(self, start: Position, batch: Prepared, error: psycopg.Error) -> None:
        """Write a batch that Postgres refused without the JSONB it cannot hold; park it if that was not the reason.

        `Refused` when there are several messages: each is then tried alone.
        """
        if len(batch.messages) > 1:
            raise Refused(batch.end.sequence) from error
        rows = [row for block in batch.changes.timeline for row in block.rows]
        unfit = await unfit_for_jsonb(self._pool, rows)
        try:
            if not unfit:
                raise error
            await write(self._pool, self._partition, start, batch.end, batch.changes, without_jsonb=unfit)
            self._log.warning("metadata_without_jsonb", sequence=batch.end.sequence, event_ids=sorted(unfit))
        except psycopg.Error as still:
            if not refused_data(still):
                raise
            parked = park(batch.messages[0], f"Postgres refused it: {still}")
            await write(self._pool, self._partition, start, batch.end, Changeset(parked=[parked]))
            self._log.error("parked", sequence=parked.sequence, reason=parked.reason)
            # What was folded of it is in memory and not in the database.
            raise Refused(batch.end.sequence) from still


def _rows(decoded: Decoded) -> int:
    match decoded:
        case Request():
            return len(decoded.rows)
        case Fact():
            return len(getattr(decoded.fact, "workers", ()))
        case _:
            return 1
