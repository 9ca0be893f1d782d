"""One partition's way from the stream into the tables: while Postgres works on one batch, the next is folded."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, nullcontext
from dataclasses import dataclass, replace

from wepeople_chassis.stream import Batch, StoredMessage
from wepeople_chassis.tasks import end
from wepeople_projections.batch.changes import Changes
from wepeople_projections.folding.decode import decode
from wepeople_projections.folding.fold import Fold
from wepeople_projections.folding.memory import Memory
from wepeople_projections.folding.position import Position
from wepeople_projections.running.checkpoint import Checkpoint
from wepeople_projections.running.cut import Cut, gathered, groups_of
from wepeople_projections.running.job import Job
from wepeople_projections.running.lookups import find_bindings, find_names
from wepeople_projections.running.poison import Prepared, log_parked, size_of, write

BATCHES_IN_FLIGHT = 2
PACED_BYTES = 256 * 1024
"""A batch while giving way to the live read models: so small that the rest after it is short."""
GROUP_BYTES = 256 * 1024
"""So much is decoded before it is folded: it stays in the processor's cache."""
IDLE_SECONDS = 5.0
DRAIN_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Finish:
    """Where a partition's work ends. `enough`: who has seen everything up to there has seen all that is of it."""

    sequence: int
    enough: int


class Pipeline:
    """Between loading and the first failure: `memory` is true only for so long. `advanced` is set once a batch is
    written.
    """

    def __init__(self, job: Job, checkpoint: Checkpoint, position: Position, memory: Memory, cut: Cut) -> None:
        self.advanced = asyncio.Event()
        self._job = job
        self._checkpoint = checkpoint
        self._position = position
        self._memory = memory
        self._cut = cut
        self._prepared: asyncio.Queue[Prepared | None] = asyncio.Queue()
        self._slots = asyncio.Semaphore(BATCHES_IN_FLIGHT)
        self._taken_on = 0

    async def run(self, batches: AsyncGenerator[Batch], finish: Finish | None, stop: asyncio.Event) -> bool:
        """Prepare and write side by side, until the finish (True) or `stop`; what was prepared is written then."""
        prepare = asyncio.create_task(self._prepare(batches, finish))
        write_all = asyncio.create_task(self._write_all())
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({prepare, write_all, stopped}, return_when=asyncio.FIRST_COMPLETED)
            failed = prepare.done() and prepare.exception() is not None
            if not failed and not write_all.done():
                await end([prepare])
                self._prepared.put_nowait(None)
                await asyncio.wait({write_all}, timeout=DRAIN_SECONDS if stop.is_set() else None)
        finally:
            await end([prepare, write_all, stopped])
            self._job.room.leave(self._taken_on)
        for task in (write_all, prepare):
            if not task.cancelled():
                task.result()
        return not write_all.cancelled() and not prepare.cancelled()

    async def _prepare(self, batches: AsyncGenerator[Batch], finish: Finish | None) -> None:
        """Return once the finish is prepared."""
        clock = asyncio.get_running_loop().time
        moved_at = clock()
        if finish is not None and self._position.sequence >= finish.enough:
            await self._prepare_batch(Batch([], self._position.sequence, 0), finish)
            return
        async with aclosing(batches), aclosing(gathered(batches, self._limit)) as fuller:
            async for batch in fuller:
                idle = not batch.messages and batch.through == self._position.sequence
                if idle or (not batch.messages and finish is None and clock() < moved_at + IDLE_SECONDS):
                    continue
                if await self._prepare_batch(batch, finish):
                    return
                moved_at = clock()

    async def _prepare_batch(self, batch: Batch, finish: Finish | None) -> bool:
        """Prepare what there is of a batch before the finish; whether the finish is reached."""
        messages, through, reached = batch.messages, batch.through, False
        if finish is not None:
            messages = [message for message in messages if message.sequence <= finish.sequence]
            reached = through >= finish.enough
            through = finish.sequence if reached else min(through, finish.sequence)
        left = len(messages)
        for part in self._cut.parts(messages, self._limit):
            left -= len(part)
            position = self._position
            for message in part[-1:]:
                position = position.after(message)
            if left == 0:
                position = replace(position, sequence=max(position.sequence, through))
            await self._prepare_part(part, position, batch.pending + left)
        return reached

    async def _prepare_part(self, part: list[StoredMessage], end_at: Position, pending: int) -> None:
        await self._slots.acquire()
        size = size_of(part)
        await self._job.room.enter(size)
        self._taken_on += size
        async with self._job.pace.turn() if part else nullcontext(False) as giving_way:
            changes = await self._fold(part, giving_way)
            await self._prepared.put(Prepared(part, changes, self._position, end_at, pending))
            if giving_way:
                await self._prepared.join()
        self._position = end_at

    def _limit(self) -> int:
        options = self._job.options
        return min(options.batch_bytes, PACED_BYTES) if self._job.pace.busy else options.batch_bytes

    async def _fold(self, messages: list[StoredMessage], giving_way: bool) -> Changes:
        job = self._job
        skipped = job.options.skipped.get(self._checkpoint.partition, frozenset())
        fold = Fold(job.definition, job.options.selection, self._memory, skipped=skipped)
        for group in groups_of(messages, GROUP_BYTES):
            # A batch that was begun before the live read models fell behind gives way from here on.
            async with nullcontext() if giving_way else job.pace.turn():
                await self._fold_group(fold, group)
        return fold.changes

    async def _fold_group(self, fold: Fold, group: list[StoredMessage]) -> None:
        job = self._job
        admitted = fold.admit([decode(stored, job.definition) for stored in group])
        identifiers, event_ids = fold.unknown()
        if identifiers or event_ids:
            async with job.pool.connection() as connection:
                bindings = await find_bindings(connection, job.schema, identifiers)
                fold.begin(bindings, await find_names(connection, job.schema, event_ids))
        for message in admitted:
            fold.apply(message)
            # Now and then the loop is let go on: it is the one that sends Postgres the batch before.
            await asyncio.sleep(0)

    async def _write_all(self) -> None:
        job = self._job
        while (batch := await self._prepared.get()) is not None:
            await write(job, self._checkpoint, batch)
            log_parked(job, batch.changes.parked)
            self._memory.commit_batch()
            self.advanced.set()
            self._taken_on -= batch.size
            job.room.leave(batch.size)
            self._slots.release()
            self._prepared.task_done()
            partition = self._checkpoint.partition
            await job.observe.committed(partition, batch.end, batch.changes.rows, batch.pending)
