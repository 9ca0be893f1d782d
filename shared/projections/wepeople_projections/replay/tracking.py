"""Follows a run for its display: what is left of the stream, and the rows written, whoever of several writes them."""

import asyncio
import time
from collections.abc import Mapping

import psycopg
from nats.aio.client import Client

from wepeople_chassis.broker import BROKER_DOWN
from wepeople_chassis.postgres import Pool
from wepeople_contracts.subjects import PARTITIONS
from wepeople_projections.definition.selection import Selection
from wepeople_projections.folding.position import Position
from wepeople_projections.replay.backlog import count_messages, stretches
from wepeople_projections.replay.progress import BAR_SECONDS, Display, Meter
from wepeople_projections.running.options import RunOptions
from wepeople_projections.versions.control import checkpoints, positions_of, sequences

LOOK_SECONDS = 1.0
SILENT_SECONDS = 3.0
"""A partition of which nothing certain was heard for so long is counted anew: another process may be at work on it."""


class Tracker:
    """An `Observer` of the engine. What it does not hear, it reads in the checkpoints and asks of the stream."""

    def __init__(
        self,
        connection: Client,
        pool: Pool,
        schema: str,
        options: RunOptions,
        display: Display,
    ) -> None:
        self.meter = Meter()
        self._connection = connection
        self._pool = pool
        self._schema = schema
        self._selection = options.selection
        self._until = options.until
        self._display = display
        self._start: dict[int, int] = {}
        self._rows: int | None = None
        self._beyond: dict[int, int] = {}
        self._known_at: dict[int, float] = {}
        self._counted: dict[int, int] = {}

    async def committed(self, partition: int, position: Position, rows: int, pending: int) -> None:
        """Note what is left of a partition. Nothing written and nothing left says nothing: it may only begin.

        Where there is an end, what is pending has also what came after it since it was counted.
        """
        if not rows and not pending:
            return
        if partition in self._beyond:
            self.meter.at_most(partition, max(pending - self._beyond[partition], 0))
        else:
            self._known_at[partition] = time.monotonic()
            self.meter.found(partition, pending)

    async def begin(self) -> None:
        """Count what there is to do."""
        async with self._pool.connection() as connection:
            self._start = await positions_of(connection, self._schema)
        chosen = {n: self._selection.of_partition(n).to_sequence for n in range(PARTITIONS)}
        ends: Mapping[int, int | None] = self._until or chosen
        beyond = {partition: sequence for partition, sequence in ends.items() if sequence is not None}
        unbounded = Selection(org_ids=self._selection.org_ids)
        self._beyond = await count_messages(self._connection, stretches(beyond, unbounded))
        await self.look()

    async def run(self) -> None:
        """Show how it stands, for ever."""
        looked_at = time.monotonic()
        while True:
            if time.monotonic() >= looked_at + LOOK_SECONDS:
                await self.look()
                looked_at = time.monotonic()
            self._display.show(self.meter.standing())
            await asyncio.sleep(BAR_SECONDS)

    async def look(self) -> None:
        """Read the checkpoints, and count what is left of partitions that are silent; a server that is away is looked
        at the next time.
        """
        try:
            await self._look()
        except (psycopg.Error, *BROKER_DOWN):
            return

    async def end(self) -> None:
        """Count what was done and is left, exactly: what came into the stream meanwhile was not in every count."""
        await self.look()
        try:
            async with self._pool.connection() as connection:
                end = await positions_of(connection, self._schema)
            done = await count_messages(self._connection, stretches(self._start, self._selection, end))
            left = await count_messages(self._connection, stretches(end, self._selection, self._until))
        except (psycopg.Error, *BROKER_DOWN):
            return
        for partition, count in left.items():
            self.meter.found(partition, count)
        self.meter.counted(sum(done.values()))

    async def _look(self) -> None:
        async with self._pool.connection() as connection:
            found = await checkpoints(connection, self._schema)
        rows = sum(line.rows for line in found.values())
        self.meter.wrote(rows - (rows if self._rows is None else self._rows))
        self._rows = rows
        lately = time.monotonic() - SILENT_SECONDS
        silent = {
            partition: sequence
            for partition, sequence in sequences(found).items()
            if self._known_at.get(partition, 0.0) < lately and self._counted.get(partition) != sequence
        }
        counts = await count_messages(self._connection, stretches(silent, self._selection, self._until))
        for partition, left in counts.items():
            self.meter.found(partition, left)
        self._counted |= silent
        self._known_at |= dict.fromkeys(silent, time.monotonic())
