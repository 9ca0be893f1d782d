"""Looks up and writes workers and their identifiers."""

from collections.abc import Collection, Iterable
from typing import Any

import msgspec
from psycopg import AsyncConnection

from wepeople_chassis.postgres import named_queries
from wepeople_projector.identity import Identifier
from wepeople_projector.projections.binary import (
    HEADER,
    NULL,
    TRAILER,
    common_text,
    instant,
    int16,
    sized_bool,
    text,
    text_array,
)
from wepeople_projector.projections.records import as_json
from wepeople_projector.projections.times import instant as as_datetime
from wepeople_projector.projections.workers.rows import WorkerChange, WorkerRows

_SQL = named_queries(__package__, "workers.sql")
_WORKER_COLUMNS = int16(8)
_IDENTIFIER_COLUMNS = int16(5)
_ASKED = ("n", *Identifier._fields)
_CONFLICT = (*Identifier._fields, "reason", "worker_id", "other_worker_id", "sequence", "found_at")


async def find_bindings(
    connection: AsyncConnection[Any], identifiers: Collection[Identifier]
) -> dict[Identifier, str | None]:
    """The worker that each identifier is bound to, or None, by one query."""
    asked = list(identifiers)
    if not asked:
        return {}
    rows = [(n, *identifier) for n, identifier in enumerate(asked)]
    # Planned each time: a plan made while the tables were small would stay until they are analyzed.
    cursor = await connection.execute(_SQL["find_bindings"], [as_json(_ASKED, rows)], prepare=False)
    found: dict[Identifier, str | None] = dict.fromkeys(asked)
    for n, worker_id in await cursor.fetchall():
        found[asked[n]] = worker_id
    return found


async def write_workers(connection: AsyncConnection[Any], rows: WorkerRows) -> None:
    """Write what a batch changed."""
    founded = (worker for worker in rows.changed.values() if worker.founded_at_us is not None)
    await _copy(connection, "copy_workers", map(_worker, founded))
    await _copy(connection, "copy_identifiers", map(_identifier, rows.bound.items()))
    grown = [worker for worker in rows.changed.values() if worker.founded_at_us is None]
    if grown:
        await connection.execute(_SQL["grow_workers"], [msgspec.json.encode(grown).decode()])
    conflicts = [
        (*c.identifier, c.reason, c.worker_id, c.other, sequence, as_datetime(at_us))
        for c, (sequence, at_us) in rows.conflicts.items()
    ]
    if conflicts:
        await connection.execute(_SQL["record_conflicts"], [as_json(_CONFLICT, conflicts)])


async def _copy(connection: AsyncConnection[Any], query: str, rows: Iterable[bytes]) -> None:
    # In nearly the order of the key, with which they begin: it spares the index a third of its work.
    data = b"".join(sorted(rows))
    if data:
        async with connection.cursor() as cursor, cursor.copy(_SQL[query]) as copy:
            await copy.write(HEADER + data + TRAILER)


def _worker(worker: WorkerChange) -> bytes:
    assert worker.founded_at_us is not None
    return b"".join(
        (
            _WORKER_COLUMNS,
            common_text(worker.org_id),
            text(worker.worker_id),
            text(worker.name) if worker.name else NULL,
            sized_bool(1, worker.in_directory),
            instant(worker.founded_at_us),
            text_array(worker.emails),
            text_array(worker.external_ids),
            text_array(worker.connections),
        )
    )


def _identifier(bound: tuple[Identifier, str]) -> bytes:
    identifier, worker_id = bound
    org_id, kind, scope, value = identifier
    return b"".join(
        (
            _IDENTIFIER_COLUMNS,
            common_text(org_id),
            common_text(kind),
            common_text(scope),
            text(value),
            text(worker_id),
        )
    )
