"""What becomes of a batch that Postgres refuses because of what is in it: nothing is lost, and nothing blocks."""

from collections.abc import Sequence
from dataclasses import replace

import psycopg

from wepeople_chassis.logging import get_logger
from wepeople_chassis.postgres import Pool
from wepeople_projector.decode import park
from wepeople_projector.fold import Changeset
from wepeople_projector.projections.timeline.rows import TimelineRow
from wepeople_projector.projections.timeline.table import hold_as_jsonb
from wepeople_projector.write import Prepared, refused_data, write

log = get_logger(__name__)


class Refused(Exception):
    """Messages up to `through` are to be written one by one, from the stored checkpoint on."""

    def __init__(self, through: int) -> None:
        super().__init__(f"a message up to {through} was refused")
        self.through = through


async def write_refused(pool: Pool, partition: int, batch: Prepared, error: psycopg.Error) -> None:
    """Write what Postgres refused: without the JSONB that it cannot hold or, if that was not the reason, parked.

    `Refused` when there are several messages, and after one was parked: what was folded of it is in memory, and not in
    the database.
    """
    if len(batch.messages) > 1:
        raise Refused(batch.end.sequence) from error
    unfit = await _unfit_for_jsonb(pool, [row for block in batch.changes.timeline for row in block.rows])
    try:
        if not unfit:
            raise error
        await write(pool, partition, batch, without_jsonb=unfit)
        log.warning("metadata_without_jsonb", partition=partition, sequence=batch.end.sequence, event_ids=sorted(unfit))
    except psycopg.Error as still:
        if not refused_data(still):
            raise
        parked = park(batch.messages[0], f"Postgres refused it: {still}")
        await write(pool, partition, replace(batch, changes=Changeset(parked=[parked])))
        log.error("parked", partition=partition, sequence=parked.sequence, row=parked.row_index, reason=parked.reason)
        raise Refused(batch.end.sequence) from still


async def _unfit_for_jsonb(pool: Pool, rows: Sequence[TimelineRow]) -> set[str]:
    """The ids of the events whose metadata Postgres refuses as JSONB, found by halving."""
    if not rows:
        return set()
    try:
        async with pool.connection() as connection:
            await hold_as_jsonb(connection, rows)
    except psycopg.Error as error:
        if not refused_data(error):
            raise
        if len(rows) == 1:
            return {rows[0].event_id}
        half = len(rows) // 2
        return await _unfit_for_jsonb(pool, rows[:half]) | await _unfit_for_jsonb(pool, rows[half:])
    return set()
