"""Looks at the projection as a whole, for metrics and readiness: how far behind it is, what is parked, how large.

By connections on which no batch is in the way, and only when somebody asks.
"""

import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from nats.aio.client import Client

from wepeople_chassis.ops import Ops
from wepeople_chassis.postgres import Pool
from wepeople_chassis.stream import stream_states, takers
from wepeople_projections.folding.position import Position
from wepeople_projections.replay.backlog import backlog_of
from wepeople_projections.running.checkpoint import positions
from wepeople_projections.running.job import Observer
from wepeople_projector import metrics

KEPT_SECONDS = 2.0
_PARKED = "SELECT count(*) FROM {schema}.parked WHERE status IN ('parked', 'waiting', 'retry', 'skip')"
_SIZE = "SELECT pg_database_size(current_database())"


class Lag(NamedTuple):
    """How far the read models are behind what is stored: messages, and the age of the oldest of them."""

    messages: int
    seconds: float


class Measuring:
    """Of one schema of the projection `live`."""

    def __init__(self, connection: Client, pool: Pool, schema: str) -> None:
        self._connection = connection
        self._pool = pool
        self._schema = schema
        self._lag = Lag(0, 0.0)
        self._looked_at = float("-inf")

    def offer(self, ops: Ops, ready_lag_seconds: float) -> None:
        """Let the ops server ask."""
        ops.check("lag", self._too_far_behind(ready_lag_seconds))
        ops.measure(self.lag, *metrics.LAG)
        ops.measure(self.stream, *metrics.STREAM)
        ops.measure(self.database, *metrics.DATABASE)

    async def lag(self) -> None:
        """Set the gauges of the lag."""
        lag = await self._lag_of_now()
        metrics.LAG_MESSAGES.set(lag.messages)
        metrics.LAG_SECONDS.set(lag.seconds)

    async def stream(self) -> None:
        """Set the gauges of each stream."""
        for state in await stream_states(self._connection):
            metrics.STREAM_MESSAGES.labels(state.name).set(state.messages)
            metrics.STREAM_BYTES.labels(state.name).set(state.size_bytes)
            limit = float("inf") if state.limit_bytes is None else state.limit_bytes
            metrics.STREAM_LIMIT_BYTES.labels(state.name).set(limit)

    async def database(self) -> None:
        """Set the gauges of the database."""
        async with self._pool.connection() as connection:
            parked = await (await connection.execute(_PARKED.replace("{schema}", self._schema))).fetchone()
            size = await (await connection.execute(_SIZE)).fetchone()
        assert parked is not None
        assert size is not None
        metrics.PARKED.set(parked[0])
        metrics.DATABASE_BYTES.set(size[0])

    def _too_far_behind(self, bound_seconds: float) -> Callable[[], Awaitable[str | None]]:
        async def ask() -> str | None:
            lag = await self._lag_of_now()
            if lag.seconds <= bound_seconds:
                return None
            return f"the read models are {lag.seconds:.0f} s behind, {lag.messages} messages"

        return ask

    async def _lag_of_now(self) -> Lag:
        now = time.monotonic()
        if now >= self._looked_at + KEPT_SECONDS:
            streams = await takers(self._connection)
            async with self._pool.connection() as connection:
                found = await positions(connection, self._schema)
            self._lag = Lag(*await backlog_of(self._connection, found, streams))
            self._looked_at = now
        return self._lag


class Counting:
    """An observer of the engine that counts rows, and tells the next one."""

    def __init__(self, then: Observer) -> None:
        self._then = then

    async def committed(self, partition: int, position: Position, rows: int, pending: int) -> None:
        """Everything of the partition up to the position is visible."""
        metrics.ROWS.inc(rows)
        await self._then.committed(partition, position, rows, pending)
