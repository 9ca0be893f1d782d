"""Settles parked rows that somebody decided about: skips them, or applies them as if they came now.

Where a projection asks for order, what waited behind a row goes after it, in the order of the stream, up to the next
row that cannot be applied.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from psycopg import AsyncConnection

from wepeople_chassis.logging import get_logger
from wepeople_chassis.stream import StoredMessage, stream_state
from wepeople_projections.memory import Memory
from wepeople_projections.position import Position
from wepeople_projections.running.checkpoint import Checkpoint, load
from wepeople_projections.running.job import Job
from wepeople_projections.running.ownership import Ownership, session_connection
from wepeople_projections.running.poison import begin_fold, write_or_refuse
from wepeople_projections.running.remembering import load_memory
from wepeople_projections.running.statements import statements

log = get_logger(__name__)

ROWS_AT_ONCE = 200
"""So many are settled in one transaction."""


class Due(NamedTuple):
    """A row to try again."""

    org_id: str
    worker_id: str
    sequence: int
    row_index: int


async def settle_decided(job: Job) -> None:
    """Settle what is decided in partitions that no process has at work now; those that have one, it settles itself."""
    async with session_connection(job.pool) as connection:
        ownership = Ownership(connection, job.schema)
        cursor = await connection.execute(statements(job.schema)["decided"])
        decided = [partition for (partition,) in await cursor.fetchall()]
        stream = await stream_state(job.connection)
        for partition in await ownership.take(decided, len(decided)):
            async with job.pool.connection() as loading:
                checkpoint, position = await load(loading, job.schema, partition, stream.created)
            await settle(job, checkpoint, position)


async def settle(job: Job, checkpoint: Checkpoint, position: Position) -> None:
    """Settle everything of the partition that is decided; `Fenced` unless its checkpoint stands at `position`."""
    async with job.pool.connection() as connection:
        cursor = await connection.execute(statements(job.schema)["unsettled"])
        row = await cursor.fetchone()
    more = row is not None and bool(row[0])
    while more:
        more = await _settle_some(job, checkpoint, position)


async def _settle_some(job: Job, checkpoint: Checkpoint, position: Position) -> bool:
    """One transaction's; whether there may be more."""
    sql, partition = statements(job.schema), checkpoint.partition
    async with job.pool.connection() as connection:
        await checkpoint.advance(connection, position, position, 0, journal=False)
        await connection.execute(sql["skip"], [partition])
        chains = await _chains(connection, job, partition)
        if not chains and job.definition.ordered:
            # What was to be retried and is not due stands behind another.
            await connection.execute(sql["wait_again"], [partition])
        if chains:
            memory = await load_memory(connection, job, partition)
            for chain in chains:
                memory = await _try_chain(connection, job, memory, chain)
    return bool(chains)


async def _chains(connection: AsyncConnection[Any], job: Job, partition: int) -> Sequence[Sequence[Due]]:
    """Rows to try again; of each chain, only as long as they can be applied."""
    sql = statements(job.schema)
    if not job.definition.ordered:
        cursor = await connection.execute(sql["retries"], [partition, ROWS_AT_ONCE])
        return [[Due(org, worker, sequence, index)] for sequence, index, org, worker in await cursor.fetchall()]
    loose = await (await connection.execute(sql["loose_retries"], [partition, ROWS_AT_ONCE])).fetchall()
    chains: list[Sequence[Due]] = [[Due(org_id, "", sequence, index)] for org_id, sequence, index in loose]
    heads = await (await connection.execute(sql["heads"], [partition])).fetchall()
    whole = {org_id: (sequence, index) for org_id, worker_id, sequence, index, _ in heads if not worker_id}
    for org_id, worker_id, sequence, index, status in heads:
        behind = worker_id and org_id in whole and whole[org_id] < (sequence, index)
        if status in ("retry", "waiting") and not behind:
            chains.append(await _followers(connection, job.schema, org_id, worker_id, whole.get(org_id)))
            if sum(map(len, chains)) >= ROWS_AT_ONCE:
                break
    return chains


async def _followers(
    connection: AsyncConnection[Any], schema: str, org_id: str, worker_id: str, whole: tuple[int, int] | None
) -> Sequence[Due]:
    cursor = await connection.execute(statements(schema)["followers"], [org_id, worker_id, ROWS_AT_ONCE])
    chain: list[Due] = []
    for sequence, index, status in await cursor.fetchall():
        if status == "parked" or (worker_id and whole is not None and whole < (sequence, index)):
            break
        chain.append(Due(org_id, worker_id, sequence, index))
    return chain


async def _try_chain(connection: AsyncConnection[Any], job: Job, memory: Memory, chain: Sequence[Due]) -> Memory:
    """Try rows of one worker in their order, up to the first that cannot be applied; what is known after it."""
    for due in chain:
        memory, applied = await _try(connection, job, memory, due)
        if not applied:
            break
    return memory


async def _try(connection: AsyncConnection[Any], job: Job, memory: Memory, due: Due) -> tuple[Memory, bool]:
    sql, place = statements(job.schema), (due.sequence, due.row_index)
    trial = Memory(dict(memory.salts), dict(memory.blocked))
    if job.definition.ordered and (due.org_id, due.worker_id) in trial.blocked:
        trial.blocked[due.org_id, due.worker_id] = place
    message = await _parked_message(connection, job.schema, due.sequence)
    fold = await begin_fold(connection, job, trial, [message])
    for decoded in fold.messages:
        fold.retry(decoded, due.row_index)
    changes = fold.changes
    parked = next((row for row in changes.parked if row.row_index == due.row_index), None)
    if parked is not None and parked.waits:
        await connection.execute(sql["wait_for"], [parked.worker_id, *place])
        return memory, False
    again = None if parked is None else parked.reason
    if parked is None and (refusal := await write_or_refuse(connection, job.schema, changes)) is not None:
        again = f"Postgres refused it: {refusal}"
    if again is not None:
        log.warning("parked_again", schema=job.schema, sequence=due.sequence, row=due.row_index, reason=again)
        await connection.execute(sql["park_again"], [again, *place])
        return memory, False
    log.info("parked_applied", schema=job.schema, sequence=due.sequence, row=due.row_index)
    await connection.execute(sql["resolve"], place)
    return trial, True


async def _parked_message(connection: AsyncConnection[Any], schema: str, sequence: int) -> StoredMessage:
    cursor = await connection.execute(statements(schema)["parked_message"], [sequence])
    row = await cursor.fetchone()
    assert row is not None, "what is parked has its message"
    at, subject, message_id, stored_at_seconds, data = row
    return StoredMessage(at, subject, message_id, int(stored_at_seconds * 1_000_000) * 1000, data)
