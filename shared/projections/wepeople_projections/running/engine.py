"""Runs a projection in this process: its share of the partitions, beside whichever other processes do the same."""

import asyncio
from collections.abc import Collection

import psycopg
from nats.aio.client import Client

from wepeople_chassis.logging import get_logger
from wepeople_chassis.postgres import Pool
from wepeople_chassis.tasks import end
from wepeople_projections.definition.projection import Definition
from wepeople_projections.postgres.write import will_pass
from wepeople_projections.running.checkpoint import positions
from wepeople_projections.running.feed import Feed
from wepeople_projections.running.job import Job, Observer
from wepeople_projections.running.options import RunOptions
from wepeople_projections.running.ownership import Connection, Ownership, session_connection, wait_or_lose
from wepeople_projections.running.pace import listening
from wepeople_projections.running.reading import last_position
from wepeople_projections.running.runner import PartitionRunner
from wepeople_projections.running.statements import statements

log = get_logger(__name__)

POLL_SECONDS = 1.0
RETRY_SECONDS = 0.5
FORGET_SECONDS = 3600.0
"""How often the journal of commits is rid of what is older than 14 days."""


class Engine:
    """`started` is set once this process has taken its first share and begun with it; `serving` is whether this version
    is the one that readers see, as of the last second.
    """

    def __init__(  # noqa: PLR0917 - what it runs, where, by what, how
        self,
        definition: Definition,
        schema: str,
        connection: Client,
        pool: Pool,
        options: RunOptions,
        observe: Observer,
    ) -> None:
        self.started = asyncio.Event()
        self.serving = False
        self._job = Job(definition, schema, connection, pool, options, observe)
        self._feed = Feed(connection, options.batch_bytes, self._job.pace)
        self._runners: dict[int, tuple[PartitionRunner, asyncio.Task[bool]]] = {}
        self._finished: set[int] = set()
        self._forgets_at = 0.0
        ends = {p: last_position(p, options.selection, options.until) for p in options.partitions}
        self._ends = {partition: sequence for partition, sequence in ends.items() if sequence is not None}

    async def run(self) -> None:
        """Run until cancelled, or until every partition has reached its end, whoever brought it there.

        Raises what a runner raises, once all of them have ended.
        """
        if not self._job.options.gives_way:
            await self._run()
            return
        async with listening(self._job.connection, self._job.pace):
            await self._run()

    async def _run(self) -> None:
        while True:
            try:
                async with session_connection(self._job.pool) as connection:
                    await self._share(connection)
                    return
            except psycopg.Error as error:
                if not will_pass(error):
                    raise
                log.warning("locks_lost", schema=self._job.schema, error=str(error))
            await asyncio.sleep(RETRY_SECONDS)

    async def _share(self, connection: Connection) -> None:
        """Own partitions by this connection until the end; all work stops with it."""
        ownership = Ownership(connection, self._job.schema)
        try:
            while True:
                await self._balance(connection, ownership)
                if self._ended():
                    return
                waiting = asyncio.create_task(wait_or_lose(connection, POLL_SECONDS))
                try:
                    runners = [task for _, task in self._runners.values()]
                    await asyncio.wait({waiting, *runners}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    await end([waiting] if not waiting.done() else [])
                if not waiting.cancelled():
                    waiting.result()
        finally:
            await end([task for _, task in self._runners.values()])
            self._runners.clear()

    async def _balance(self, connection: Connection, ownership: Ownership) -> None:
        """Take what is this process's share and give up what is beyond it; pass on what was decided meanwhile."""
        cursor = await connection.execute(statements(self._job.schema)["about"])
        row = await cursor.fetchone()
        paused, self.serving = row or (False, False)
        await self._reap(ownership)
        if paused:
            await self._stop(ownership, list(self._runners))
            await ownership.leave()
            self._note_loaded()
            return
        await ownership.join()
        partitions = self._job.options.partitions
        share = await ownership.share_of(len(partitions))
        await self._stop(ownership, list(self._runners)[share:])
        open_partitions = [p for p in partitions if p not in self._finished and p not in self._runners]
        for partition in await ownership.take(open_partitions, share - len(self._runners)):
            runner = PartitionRunner(self._job, self._feed, partition, self._note_loaded)
            self._runners[partition] = (runner, asyncio.create_task(runner.run()))
        if self._ends:
            # What others have brought to its end. Of its own, a runner says so, who has looked at the stream.
            reached = await positions(connection, self._job.schema)
            done = {p for p, sequence in self._ends.items() if reached.get(p, -1) >= sequence}
            self._finished |= done - self._runners.keys()
        await self._pass_on_decisions(connection)
        await self._forget_commits(connection)
        self._note_loaded()

    def _note_loaded(self) -> None:
        if all(runner.is_loaded for runner, _ in self._runners.values()):
            self.started.set()

    async def _pass_on_decisions(self, connection: Connection) -> None:
        cursor = await connection.execute(statements(self._job.schema)["decided"])
        for (partition,) in await cursor.fetchall():
            if partition in self._runners:
                self._runners[partition][0].settle()

    async def _forget_commits(self, connection: Connection) -> None:
        now = asyncio.get_running_loop().time()
        if now >= self._forgets_at:
            self._forgets_at = now + FORGET_SECONDS
            await connection.execute(statements(self._job.schema)["forget_commits"], [list(self._runners)])

    async def _reap(self, ownership: Ownership) -> None:
        """Let go of partitions whose runners have ended; raises what one of them raised."""
        for partition, (_, task) in list(self._runners.items()):
            if task.done():
                if task.result():
                    self._finished.add(partition)
                del self._runners[partition]
                await ownership.release(partition)

    async def _stop(self, ownership: Ownership, partitions: Collection[int]) -> None:
        """End the runners of some partitions, each after what it is about to write."""
        if not partitions:
            return
        log.info("gives_up", schema=self._job.schema, partitions=sorted(partitions))
        for partition in partitions:
            self._runners[partition][0].stop()
        await asyncio.wait([self._runners[partition][1] for partition in partitions])
        await self._reap(ownership)

    def _ended(self) -> bool:
        return self._finished >= set(self._job.options.partitions)
