"""Settles parked rows that somebody decided about: skips them, or applies them as if they came now.

Where a projection asks for order, what waited behind a row goes after it, in the order of the stream, up to the next
row that cannot be applied.
"""

import time

from wepeople_chassis.stream import stream_of
from wepeople_projections.folding.position import Position
from wepeople_projections.running.checkpoint import Checkpoint, load
from wepeople_projections.running.dues import find_dues, grouped
from wepeople_projections.running.job import Job
from wepeople_projections.running.ownership import Ownership, session_connection
from wepeople_projections.running.remembering import load_memory
from wepeople_projections.running.retrying import Retrying
from wepeople_projections.running.statements import statements

SETTLE_SECONDS = 0.5
"""So long a partition stands still for it at a time, and not much longer."""


async def settle_decided(job: Job) -> None:
    """Settle what is decided in partitions that no process has at work now; those that have one, it settles itself."""
    async with session_connection(job.pool) as connection:
        ownership = Ownership(connection, job.schema)
        cursor = await connection.execute(statements(job.schema)["decided"])
        decided = [partition for (partition,) in await cursor.fetchall()]
        for partition in await ownership.take(decided, len(decided)):
            stream = await stream_of(job.connection, partition)
            async with job.pool.connection() as loading:
                checkpoint, position = await load(loading, job.schema, partition, stream.identity)
            while await settle_some(job.of_partition(partition), checkpoint, position):
                pass


async def settle_some(job: Job, checkpoint: Checkpoint, position: Position) -> bool:
    """Settle as much of what is decided of the partition as can be done in a moment, in one transaction; whether there
    may be more. `Fenced` unless its checkpoint stands at `position`.
    """
    sql, partition = statements(job.schema), checkpoint.partition
    async with job.pool.connection() as connection:
        cursor = await connection.execute(sql["unsettled"])
        if await cursor.fetchone() == (False,):
            return False
    async with job.pool.connection() as connection:
        await checkpoint.advance(connection, position, position, 0, orgs=())
        await connection.execute(sql["skip"], [partition])
        dues = await find_dues(connection, job, partition)
        if not dues:
            if job.definition.ordered:
                # What was to be retried and is not due stands behind another.
                await connection.execute(sql["wait_again"], [partition])
            return False
        memory = await load_memory(connection, job, partition)
        retrying = Retrying(connection, job, partition, memory, time.monotonic() + SETTLE_SECONDS)
        for group in grouped(dues):
            await retrying.retry(group)
    return True
