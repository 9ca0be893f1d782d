"""Loads what a fold must know of all that was before it."""

from typing import Any

from psycopg import AsyncConnection

from wepeople_contracts.subjects import partition_of
from wepeople_projections.folding.memory import Memory, Place
from wepeople_projections.running.job import Job
from wepeople_projections.running.statements import statements


async def load_memory(connection: AsyncConnection[Any], job: Job, partition: int) -> Memory:
    """The memory of a partition as it stands in the database."""
    blocked = await load_blocked(connection, job.schema, partition) if job.definition.ordered else {}
    return Memory(await load_salts(connection, job.schema, partition), blocked)


async def load_salts(connection: AsyncConnection[Any], schema: str, partition: int) -> dict[str, bytes]:
    """The salt of every org of the partition that was founded so far."""
    cursor = await connection.execute(statements(schema)["salts"])
    return {org_id: salt for org_id, salt in await cursor.fetchall() if partition_of(org_id) == partition}


async def load_blocked(connection: AsyncConnection[Any], schema: str, partition: int) -> dict[tuple[str, str], Place]:
    """The first place of each worker that is put aside; of an org, with "" for a worker, where a whole message is."""
    cursor = await connection.execute(statements(schema)["heads"], [partition])
    found = await cursor.fetchall()
    return {(org_id, worker_id): (sequence, index) for org_id, worker_id, sequence, index, _ in found}
