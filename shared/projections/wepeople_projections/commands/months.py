"""`wepeople projection months`: which months of a version's tables are there, and dropping those that are too old."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

import psycopg
from psycopg import AsyncConnection

from wepeople_chassis.operator import Operator, fail, show, stdout
from wepeople_projections.commands.session import command, connection, owner_dsn
from wepeople_projections.commands.targets import TargetError, find_target
from wepeople_projections.definition.month import FIRST_YEAR, first_kept
from wepeople_projections.definition.naming import split_version
from wepeople_projections.postgres.months import day_there, drop_pieces, kept_from, monthly_tables, pieces
from wepeople_projections.postgres.waiting import wait_at_most

COLUMNS = ("table", "month", "rows", "bytes", "state")
LOCK_SECONDS = 2.0


def show_months(
    name: str, version: int | None, *, keep_days: int | None, drop_before: str | None, plan: bool, as_json: bool
) -> None:
    """List them; drop those that are before a day, or only say which it would be (`plan`)."""
    if plan and keep_days is None and drop_before is None:
        fail("Say what should be planned: --keep-days or --drop-before.")
    if keep_days is not None and drop_before is not None:
        fail("Say either --keep-days or --drop-before.")
    before = None if drop_before is None else _named(drop_before)

    async def work(operator: Operator) -> None:
        async with connection(owner_dsn(operator, split_version(name)[0])) as owner:
            first = before
            if keep_days is not None:
                first = first_kept(min(datetime.now(UTC).date(), await day_there(owner)), keep_days)
            target = await find_target(owner, name, version)
            tables = await monthly_tables(owner, target.schema)
            kept = await kept_from(owner, target.schema)
            firsts = {} if first is None else dict.fromkeys(tables, first)
            lines = await _lines(owner, target.schema, tables, firsts, "would go" if plan else "dropped")
            if firsts and not plan:
                await _drop(owner, target.schema, firsts)
                kept = await kept_from(owner, target.schema)
        empty = (
            f"No table of {target.schema} is kept by month." if not tables else f"{target.schema} has no months yet."
        )
        show(lines, columns=COLUMNS, as_json=as_json, empty=empty)
        if not as_json:
            for table, day in sorted(kept.items()):
                stdout.print(f"{table} has nothing before {day}.", highlight=False)

    command(work)


def _named(drop_before: str) -> date:
    """The first day that is to be kept."""
    try:
        day = date.fromisoformat(drop_before)
    except ValueError:
        fail(f"{drop_before!r} is no day, such as 2026-04-01.")
    if day > datetime.now(UTC).date():
        fail(f"{day} has not come yet: what happens until then would be dropped, too, and not be written any more.")
    if day.year < FIRST_YEAR:
        fail(f"What was before {FIRST_YEAR} is one piece, which goes as a whole: name a day of {FIRST_YEAR} or later.")
    return day.replace(day=1)


async def _lines(
    owner: AsyncConnection[Any], schema: str, tables: list[str], firsts: Mapping[str, date], goes: str
) -> list[dict[str, Any]]:
    return [
        {
            "table": table,
            "month": piece.month.name,
            "rows": max(piece.rows, 0),
            "bytes": piece.size_bytes,
            "state": goes if table in firsts and piece.month.is_before(firsts[table]) else "kept",
        }
        for table in tables
        for piece in await pieces(owner, schema, table)
    ]


async def _drop(owner: AsyncConnection[Any], schema: str, firsts: Mapping[str, date]) -> None:
    try:
        async with owner.transaction():
            await wait_at_most(owner, LOCK_SECONDS)
            await drop_pieces(owner, schema, firsts)
    except psycopg.errors.LockNotAvailable as error:
        raise TargetError(
            f"Somebody reads {schema} and holds what should go; nothing was changed. Run this again once that query "
            "has ended"
        ) from error
