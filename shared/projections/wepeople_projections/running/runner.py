"""One partition, for ever or up to its end.

Whatever fails, memory is dropped and everything starts again from the stored checkpoint, so a failure needs no other
repair.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import psycopg

from wepeople_chassis.broker import BROKER_DOWN
from wepeople_chassis.logging import get_logger
from wepeople_chassis.stream import StreamMoved, StreamState, stream_of
from wepeople_chassis.tasks import end
from wepeople_projections.folding.position import Fenced, Position
from wepeople_projections.postgres.write import will_pass
from wepeople_projections.running.checkpoint import Checkpoint, last_of, load, verify
from wepeople_projections.running.cut import Cut
from wepeople_projections.running.feed import Feed
from wepeople_projections.running.job import Job
from wepeople_projections.running.pipeline import Finish, Pipeline
from wepeople_projections.running.poison import Refused
from wepeople_projections.running.reading import first_position, last_position, nothing_of, reading_filter
from wepeople_projections.running.remembering import load_memory
from wepeople_projections.running.settling import settle_some

log = get_logger(__name__)

RETRY_SECONDS = 0.5
READ_SECONDS = 0.25
"""So long a partition reads at least before it settles more of what was decided about parked rows."""


class PartitionRunner:
    """Keeps a projection's tables up to date for one partition; `is_loaded` once it has begun, which it says by
    `on_loaded`.
    """

    def __init__(self, job: Job, feed: Feed, partition: int, on_loaded: Callable[[], None]) -> None:
        self.is_loaded = False
        self._on_loaded = on_loaded
        self._job = job.of_partition(partition)
        self._feed = feed
        self._partition = partition
        self._filter = reading_filter(partition, job.options.selection) or nothing_of(partition)
        self._end = last_position(partition, job.options.selection, job.options.until)
        self._cut = Cut()
        self._interrupted = asyncio.Event()
        self._stopping = False
        self._settles_more = False
        self._log = log.bind(schema=job.schema, partition=partition)

    def stop(self) -> None:
        """End soon: what was prepared is written before."""
        self._stopping = True
        self._interrupted.set()

    def settle(self) -> None:
        """Look what was decided about parked rows, if that is not being done anyway."""
        if not self._settles_more:
            self._interrupted.set()

    async def run(self) -> bool:
        """Run until cancelled or stopped (False), or until the partition has reached its end (True).

        `PoisonFound` where that ends a run; `StreamError` when the stream is not the one that was applied;
        `psycopg.Error` when the database refuses for a reason that is neither the rows' nor passing (a table or a
        permission is missing); what NATS raised when its connection is closed for good.
        """
        while not self._stopping:
            self._interrupted.clear()
            try:
                if await self._session():
                    return True
                continue
            except Refused as refused:
                self._cut.refine(refused.messages)
                self._log.warning("batch_refused", messages=refused.messages, error=str(refused.__cause__))
                continue
            except StreamMoved as moved:
                self._log.info("stream_moved", moved=str(moved))
                continue
            except Fenced as fenced:
                self._log.warning("fenced", expected=fenced.expected)
            except psycopg.Error as error:
                if not will_pass(error):
                    raise
                self._log.warning("database_away", error=str(error))
            except BROKER_DOWN as error:
                if self._job.connection.is_closed:
                    raise
                self._log.warning("stream_away", error=repr(error))
            await self._rest()
        return False

    async def _session(self) -> bool:
        """Load, settle some of what was decided about parked rows, and work until something fails or comes between;
        whether the end was reached, and all is settled.
        """
        job = self._job
        with self._feed.loading():
            stream = await stream_of(job.connection, self._partition)
            checkpoint, position = await self._load(stream)
            async with job.pool.connection() as connection:
                memory = await load_memory(connection, job, self._partition)
            self.is_loaded = True
            self._on_loaded()
            await job.observe.committed(self._partition, position, 0, 0)
            if self._end is not None and position.sequence >= self._end:
                return not self._settles_more
            finish = None if self._end is None else await self._finish(self._end, stream)
        batches = self._feed.batches(stream.name, self._partition, self._filter, position)
        pipeline = Pipeline(job, checkpoint, position, memory, self._cut)
        if not self._settles_more:
            return await pipeline.run(batches, finish, self._interrupted)
        settling = asyncio.create_task(self._settle_more(pipeline, stream, position.sequence))
        try:
            await pipeline.run(batches, finish, self._interrupted)
        finally:
            await end([settling])
        return False

    async def _load(self, stream: StreamState) -> tuple[Checkpoint, Position]:
        """Where the partition stands, on this stream for certain, once some of what was decided is settled."""
        job = self._job
        begin = first_position(job.definition, job.options.selection, stream)
        async with job.pool.connection() as connection:
            checkpoint, position = await load(connection, job.schema, self._partition, stream.identity, begin)
        await verify(job.connection, job.schema, position, stream)
        self._settles_more = await settle_some(job, checkpoint, position)
        return checkpoint, position

    async def _settle_more(self, pipeline: Pipeline, stream: StreamState, sequence: int) -> None:
        """Go on settling after a moment, in which at least one batch is written if there is anything to read."""
        await asyncio.sleep(READ_SECONDS)
        with suppress(*BROKER_DOWN):
            if await last_of(self._job.connection, stream.name, self._filter) > sequence:
                await pipeline.advanced.wait()
        self._interrupted.set()

    async def _finish(self, sequence: int, stream: StreamState) -> Finish:
        """When the stream reaches beyond the end, the last message of this partition shows how far there is to read."""
        if stream.last_sequence < sequence:
            return Finish(sequence, sequence)
        return Finish(sequence, min(sequence, await last_of(self._job.connection, stream.name, self._filter)))

    async def _rest(self) -> None:
        try:
            await asyncio.wait_for(self._interrupted.wait(), RETRY_SECONDS)
        except TimeoutError:
            return
