"""Writes a batch, part by part where it is refused: nothing is lost, and nothing blocks what is not at fault."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import AsyncConnection

from wepeople_chassis.logging import get_logger
from wepeople_chassis.stream import StoredMessage
from wepeople_contracts.subjects import parse_ingest_subject
from wepeople_projections.batch.changes import Changes
from wepeople_projections.batch.months import months_of
from wepeople_projections.errors import OperationError, ProjectionError
from wepeople_projections.folding.decode import decode
from wepeople_projections.folding.fold import Fold
from wepeople_projections.folding.memory import Memory, Place
from wepeople_projections.folding.parked import Parked
from wepeople_projections.folding.position import Position
from wepeople_projections.postgres.months import make_pieces
from wepeople_projections.postgres.unfit import leave_out_unfit
from wepeople_projections.postgres.write import refused, write_changes
from wepeople_projections.running.checkpoint import Checkpoint
from wepeople_projections.running.job import Job
from wepeople_projections.running.lookups import find_bindings, find_names
from wepeople_projections.running.remembering import load_memory
from wepeople_projections.running.traced import traced_commit

log = get_logger(__name__)


class PoisonFound(ProjectionError):
    """A run that stops on poison has met a row that cannot be applied (`row` -1: the message as a whole). The
    checkpoint stands before its message.
    """

    def __init__(self, sequence: int, row: int, reason: str) -> None:
        super().__init__(f"row {row} of the message at {sequence} cannot be applied: {reason}")
        self.sequence = sequence
        self.row = row
        self.reason = reason


class Refused(Exception):
    """What is in memory is no longer true: one of so many messages could not be applied, and is to be found, or it was
    written part by part.
    """

    def __init__(self, messages: int) -> None:
        super().__init__(f"one of {messages} messages was refused")
        self.messages = messages


@dataclass(frozen=True, slots=True)
class Prepared:
    """A batch folded and ready to be written, where the checkpoint stands before and after it, and what is left."""

    messages: list[StoredMessage]
    changes: Changes
    start: Position
    end: Position
    pending: int

    @property
    def size(self) -> int:
        """Bytes of the stream."""
        return size_of(self.messages)


def size_of(messages: Sequence[StoredMessage]) -> int:
    """Bytes of the stream."""
    return sum(len(message.data) for message in messages)


async def write(job: Job, checkpoint: Checkpoint, batch: Prepared) -> None:
    """Write a batch and move the checkpoint, in one transaction.

    `Fenced` when another writer moved it; `Refused` when the caller has to begin anew at the checkpoint; `PoisonFound`
    where that ends the run; any other `psycopg.Error` leaves the database as it was.
    """
    if job.options.on_poison == "stop" and (found := poison(batch.changes.parked)):
        if len(batch.messages) > 1:
            raise Refused(len(batch.messages)) from found
        raise found
    refusal = await _write_or_refuse(job, checkpoint, batch)
    if refusal is not None:
        async with job.pool.connection() as connection:
            is_changed = await leave_out_unfit(connection, batch.changes)
        if is_changed:
            refusal = await _write_or_refuse(job, checkpoint, batch)
    if refusal is not None:
        if len(batch.messages) == 1:
            await _write_in_parts(job, checkpoint, batch)
        raise Refused(len(batch.messages)) from refusal


async def _write_or_refuse(job: Job, checkpoint: Checkpoint, batch: Prepared) -> Exception | None:
    """Write all of a batch, or nothing of it; why it was refused, if it was."""
    try:
        await job.months.make(job.pool, job.schema, checkpoint.table, batch.changes)
        with traced_commit(job.schema, checkpoint.partition, batch.messages, batch.changes.rows):
            async with job.pool.connection() as connection:
                await advance(connection, checkpoint, batch)
                await write_changes(connection, job.schema, batch.changes)
    except (psycopg.Error, OperationError) as error:
        if not refused(error):
            raise
        return error
    return None


def log_parked(job: Job, parked: Sequence[Parked]) -> None:
    """Say what was put aside; what only waits is the consequence of something that was said."""
    for row in parked:
        say = log.info if row.waits else log.error
        about = {"schema": job.schema, "sequence": row.message.sequence, "row": row.row_index, "org_id": row.org_id}
        say("parked", **about, reason=row.reason)


async def advance(connection: AsyncConnection[Any], checkpoint: Checkpoint, batch: Prepared) -> None:
    """Move the checkpoint over a batch, as the first thing of its transaction."""
    orgs = {parse_ingest_subject(message.subject).org_id for message in batch.messages}
    await checkpoint.advance(connection, batch.start, batch.end, batch.changes.rows, orgs=orgs)


def poison(parked: Sequence[Parked]) -> PoisonFound | None:
    """The first row that is at fault itself."""
    first = next((row for row in parked if not row.waits), None)
    return None if first is None else PoisonFound(first.message.sequence, first.row_index, first.reason)


async def _write_in_parts(job: Job, checkpoint: Checkpoint, batch: Prepared) -> None:
    """Write one message part by part, and park those that are refused; one transaction all the same."""
    with traced_commit(job.schema, checkpoint.partition, batch.messages, batch.changes.rows):
        await _write_part_by_part(job, checkpoint, batch)


async def _write_part_by_part(job: Job, checkpoint: Checkpoint, batch: Prepared) -> None:
    async with job.pool.connection() as connection:
        await advance(connection, checkpoint, batch)
        memory = await load_memory(connection, job, checkpoint.partition)
        skipped = job.options.skipped.get(checkpoint.partition, frozenset())
        fold = await begin_fold(connection, job, memory, batch.messages, skipped)
        for step in fold.steps():
            changes = step.changes
            if (error := await write_or_refuse(connection, job.schema, changes)) is not None:
                changes = fold.take_back(f"Postgres refused it: {error}")
            if job.options.on_poison == "stop" and (found := poison(changes.parked)):
                raise found
            if changes is not step.changes:
                await _write_with_months(connection, job.schema, changes)
            log_parked(job, changes.parked)


async def begin_fold(
    connection: AsyncConnection[Any],
    job: Job,
    memory: Memory,
    messages: Sequence[StoredMessage],
    skipped: frozenset[Place] = frozenset(),
) -> Fold:
    """A fold that knows what the database has, as this connection sees it."""
    decoded = [decode(message, job.definition) for message in messages]
    fold = Fold(job.definition, job.options.selection, memory, decoded, skipped=skipped)
    identifiers, event_ids = fold.unknown()
    bindings = await find_bindings(connection, job.schema, identifiers)
    fold.begin(bindings, await find_names(connection, job.schema, event_ids))
    return fold


async def write_or_refuse(connection: AsyncConnection[Any], schema: str, changes: Changes) -> Exception | None:
    """Write a part within the caller's transaction, if need be without the JSONB that Postgres cannot hold; why it was
    refused, if it was.
    """
    try:
        async with connection.transaction():
            await _write_with_months(connection, schema, changes)
    except (psycopg.Error, OperationError) as error:
        if not refused(error):
            raise
        if await leave_out_unfit(connection, changes):
            return await write_or_refuse(connection, schema, changes)
        return error
    return None


async def _write_with_months(connection: AsyncConnection[Any], schema: str, changes: Changes) -> None:
    """A part may come to other rows than the whole, and so to other months. They are made in its own transaction: what
    another one attached after a statement upon the table need not be seen in this.
    """
    await make_pieces(connection, schema, {spec.name: months for spec, months in months_of(changes).items()})
    await write_changes(connection, schema, changes)
