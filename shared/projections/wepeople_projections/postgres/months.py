"""The pieces of a table that is kept by month: one ordinary table for each, behind the one that has its name.

A piece is made before the first row of its month is written, and dropped as a whole. Attaching one keeps neither
readers nor writers waiting; dropping one takes the table from both for a moment. There is none that takes the rest (a
default partition): rows that lie in such a one are in the way of their month's.

Whoever reads `kept` in a transaction keeps all that it says true to its end: months are dropped only by who has locked
that table against all others.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple

from psycopg import AsyncConnection

from wepeople_chassis.postgres import named_queries
from wepeople_projections.definition.month import Month, month_called
from wepeople_projections.postgres.quoting import quoted
from wepeople_projections.postgres.row_security import secure_rows

_SQL = named_queries(__package__, "months.sql")


class Piece(NamedTuple):
    """One that is there; `rows` as the last ANALYZE counted them, -1 before."""

    month: Month
    rows: int
    size_bytes: int


async def kept_from(connection: AsyncConnection[Any], schema: str) -> Mapping[str, date]:
    """Of each table of which months were dropped: the first day that is kept. So it stays until the end of the
    caller's transaction.
    """
    cursor = await connection.execute(_in("kept", schema))
    return dict(await cursor.fetchall())


async def hold_months(connection: AsyncConnection[Any], schema: str) -> None:
    """Let no month be dropped until the end of the caller's transaction; the first thing in one that is REPEATABLE
    READ, whose view begins after it. What is dropped is gone for such a view, too.
    """
    await connection.execute(_in("hold", schema))


async def keep_makers_out(connection: AsyncConnection[Any], schema: str) -> None:
    """Let nobody make or drop a month until the end of the caller's transaction: who does names the schema in several
    statements, and all of them have to mean the same one.
    """
    await connection.execute(_in("keep_others_out", schema))


async def day_there(connection: AsyncConnection[Any]) -> date:
    """The day by the database's clock, UTC: what goes does not come back, so no single clock decides what is old."""
    cursor = await connection.execute(_SQL["day"].encode())
    day: date
    [(day,)] = await cursor.fetchall()
    return day


async def monthly_tables(connection: AsyncConnection[Any], schema: str) -> list[str]:
    """A version's tables that are kept by month."""
    cursor = await connection.execute(_in("monthly_tables", schema))
    return [table for (table,) in await cursor.fetchall()]


async def pieces(connection: AsyncConnection[Any], schema: str, table: str) -> list[Piece]:
    """Those that a table has, the oldest first."""
    cursor = await connection.execute(_in("pieces", schema, table))
    found = [
        Piece(month, rows, size)
        for name, rows, size in await cursor.fetchall()
        if (month := month_called(name.removeprefix(f"{table} ")))
    ]
    return sorted(found, key=lambda piece: _begin(piece.month))


async def make_pieces(connection: AsyncConnection[Any], schema: str, months: Mapping[str, Collection[Month]]) -> None:
    """Make those that are missing of tables, in the caller's transaction; of months that were dropped, none.

    Who makes some at once waits for the transaction's end, and finds them then; nobody else waits.
    """
    kept = await kept_from(connection, schema) if months else {}
    # In one order, whoever makes them: each table stays locked to the end.
    for table, wanted in sorted(months.items()):
        first = kept.get(table, date.min)
        missing = {month for month in wanted if not month.is_before(first)}
        if not missing - await _there(connection, schema, table):
            continue
        await connection.execute(_in("one_maker", schema, table))
        for month in sorted(missing - await _there(connection, schema, table), key=_begin):
            await connection.execute(_in("make", schema, table, month))
            await secure_rows(connection, schema)
            await connection.execute(_in("attach", schema, table, month))


async def outdated(
    connection: AsyncConnection[Any], schema: str, firsts: Mapping[str, date]
) -> Sequence[tuple[str, Piece]]:
    """The pieces of tables that are before their days, the oldest first."""
    return [
        (table, piece)
        for table, first in firsts.items()
        for piece in await pieces(connection, schema, table)
        if piece.month.is_before(first)
    ]


async def drop_pieces(
    connection: AsyncConnection[Any], schema: str, firsts: Mapping[str, date]
) -> Sequence[tuple[str, Piece]]:
    """Keep of each table only what is not before its day, in the caller's transaction; what was dropped. A day that is
    earlier than what is kept already changes nothing.

    What was proved of the tables is forgotten: it was of more rows.
    """
    await keep_makers_out(connection, schema)
    kept = await kept_from(connection, schema)
    latest = {table: max(day, kept.get(table, date.min)) for table, day in firsts.items()}
    dropped = await outdated(connection, schema, latest)
    for table, piece in dropped:
        await connection.execute(_in("drop", schema, table, piece.month))
    for table, first in latest.items():
        await connection.execute(_in("keep_from", schema), {"table": table, "kept_from": first})
    if dropped:
        await connection.execute(_in("forget_verified", schema))
    return dropped


async def _there(connection: AsyncConnection[Any], schema: str, table: str) -> set[Month]:
    return {piece.month for piece in await pieces(connection, schema, table)}


def _begin(month: Month) -> date:
    return month.begin or date.min


def _in(query: str, schema: str, table: str = "", month: Month | None = None) -> bytes:
    names = {"schema": quoted(schema), "table": f"{quoted(schema)}.{quoted(table)}"}
    if month is not None:
        names |= {"piece": f"{quoted(schema)}.{quoted(f'{table} {month.name}')}"}
        names |= {"begin": _bound(month.begin, "MINVALUE"), "end": _bound(month.end, "MAXVALUE")}
    text = _SQL[query]
    for name, value in names.items():
        text = text.replace(f"{{{name}}}", value)
    return text.encode()


def _bound(day: date | None, open_end: str) -> str:
    """In UTC, whatever the session's time zone is; a column of dates takes the day of it."""
    return open_end if day is None else f"'{day.isoformat()} 00:00:00+00'"
