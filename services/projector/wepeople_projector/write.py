"""One transaction: the checkpoint and all rows of a changeset, or nothing."""

from collections.abc import Collection
from dataclasses import dataclass

import psycopg

from wepeople_chassis.postgres import Pool, named_queries
from wepeople_chassis.stream import StoredMessage
from wepeople_projector.checkpoint import Position, advance
from wepeople_projector.fold import Changeset
from wepeople_projector.projections.rejects.table import write_rejects
from wepeople_projector.projections.requests.table import write_requests
from wepeople_projector.projections.snapshots.table import write_snapshots
from wepeople_projector.projections.timeline.table import write_timeline
from wepeople_projector.projections.times import instant
from wepeople_projector.projections.workers.table import write_workers

_SQL = named_queries(__package__, "write.sql")

_ABOUT_THE_DATA = ("22", "23", "54")
"""SQLSTATE classes: data exception, integrity violation, limit exceeded. The same rows are refused again."""
_PASSING = ("08", "25", "40", "53", "55", "57", "58")
"""Connection, read-only server, rollback, resources, object state, operator intervention, system: worth another try."""


def refused_data(error: psycopg.Error) -> bool:
    """Whether Postgres will never take these rows."""
    return error.sqlstate is not None and error.sqlstate.startswith(_ABOUT_THE_DATA)


def will_pass(error: psycopg.Error) -> bool:
    """Whether Postgres, once it is back or less busy, may take them."""
    if error.sqlstate is None:
        return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    return error.sqlstate.startswith(_PASSING)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A batch folded and ready to be written, and where the checkpoint stands before and after it."""

    messages: list[StoredMessage]
    changes: Changeset
    start: Position
    end: Position


async def write(pool: Pool, partition: int, batch: Prepared, without_jsonb: Collection[str] = ()) -> None:
    """Write a batch's changes and move the checkpoint; the events of `without_jsonb` get NULL for metadata.

    `Fenced` when another writer moved it; any `psycopg.Error` leaves the database as it was.
    """
    changes = batch.changes
    async with pool.connection() as connection:
        await advance(connection, partition, batch.start, batch.end)
        for org in changes.orgs:
            await connection.execute(_SQL["found"], [org.org_id, org.name, org.salt, instant(org.occurred_at_us)])
        await write_workers(connection, changes.workers)
        await write_timeline(connection, changes.timeline, without_jsonb)
        await write_snapshots(connection, changes.snapshots.values())
        await write_requests(connection, changes.requests)
        await write_rejects(connection, partition, changes.rejects)
        for row in changes.parked:
            await connection.execute(_SQL["park"], [row.sequence, row.row_index, row.subject, row.reason, row.data])
