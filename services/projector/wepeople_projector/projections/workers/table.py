"""Looks up and writes workers, their identifiers and connections."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from psycopg import AsyncConnection

from wepeople_chassis.postgres import named_queries
from wepeople_projector.identity import Identifier
from wepeople_projector.projections.times import instant
from wepeople_projector.projections.workers.rows import WorkerRows

_SQL = named_queries(__package__, "workers.sql")


async def find_bindings(
    connection: AsyncConnection[Any], identifiers: Collection[Identifier]
) -> dict[Identifier, str | None]:
    """The worker that each identifier is bound to, or None, by one query."""
    asked = list(identifiers)
    cursor = await connection.execute(_SQL["find_bindings"], _columns(asked))
    found: dict[Identifier, str | None] = dict.fromkeys(asked)
    for ordinal, worker_id in await cursor.fetchall():
        found[asked[ordinal - 1]] = worker_id
    return found


async def write_workers(connection: AsyncConnection[Any], rows: WorkerRows) -> None:
    """Write what a batch changed."""
    founded = [(org, worker, instant(at_us)) for (org, worker), at_us in rows.founded.items()]
    await _execute(connection, "found", founded)
    await _execute(connection, "bind", [(*identifier, worker) for identifier, worker in rows.bound.items()])
    await _execute(connection, "connect", [(*key, instant(at_us)) for key, at_us in rows.connections.items()])
    conflicts = [
        (c.identifier.org_id, c.reason, *c.identifier[1:], c.worker_id, c.other, sequence, instant(at_us))
        for c, (sequence, at_us) in rows.conflicts.items()
    ]
    await _execute(connection, "record_conflicts", conflicts)
    await _execute(connection, "add_to_directory", [(*key, name) for key, name in rows.directory.items()])


async def _execute(connection: AsyncConnection[Any], query: str, rows: Sequence[tuple[Any, ...]]) -> None:
    if rows:
        await connection.execute(_SQL[query], _columns(rows))


def _columns(rows: Iterable[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
