"""Proves that a version's tables are what the stream makes of them: builds them again beside it, and compares."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

import msgspec
from psycopg import AsyncConnection, IsolationLevel

from wepeople_projections.definition.naming import CHECK
from wepeople_projections.definition.projection import Definition
from wepeople_projections.postgres.about import About, read_about
from wepeople_projections.postgres.ddl import create_schema, drop_schema
from wepeople_projections.postgres.digest import Digest, Digests, digests, first_difference, keys_of
from wepeople_projections.postgres.months import drop_pieces, hold_months, kept_from
from wepeople_projections.replay.building import Workplace, build
from wepeople_projections.running.options import RunOptions
from wepeople_projections.versions.control import RowKey, by_partition, execute, positions_of, skipped_rows

Positions = Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A version at one moment: up to where it was, what was in its tables, from which day on those kept by month had
    their rows, and which rows were put aside, with hashes of what is kept of them; how many were applied by a retry,
    later than the stream has them.
    """

    taken_at: datetime
    positions: Positions
    digests: Digests
    kept_from: Mapping[str, date]
    aside: Mapping[RowKey, bytes]
    skipped: frozenset[RowKey]
    retried: int


@dataclass(frozen=True, slots=True)
class Proof:
    """What a comparison with the stream has shown; `difference` is None when there was none, else words."""

    definition: Definition
    snapshot: Snapshot
    difference: str | None

    @property
    def rows(self) -> int:
        """How many rows of the projection's own tables were compared."""
        return sum(self.snapshot.digests.of_table(spec.name).rows for spec in self.definition.tables)

    @property
    def through(self) -> int:
        """The last sequence that any partition had applied."""
        return max(self.snapshot.positions.values())


async def prove(place: Workplace, definition: Definition, schema: str) -> Proof:
    """Compare a version with a build of the same stretch of the stream, made beside it and dropped at the end. Of
    months that the version has dropped, the build has nothing either.

    A proof begins from nothing: what an interrupted one left is dropped first. Raises what building raises.
    """
    check = f"{schema}{CHECK}"
    async with place.pool.connection() as connection:
        about = await read_about(connection, schema)
        await drop_schema(connection, check)
    async with one_moment(place) as connection:
        original = await take_snapshot(connection, definition, schema)
    try:
        async with place.pool.connection() as connection:
            await create_schema(connection, definition, check, _as_new(about))
            await drop_pieces(connection, check, original.kept_from)
        built = await _build_up_to(place, definition, check, about, original)
        difference = _aside_difference(original, built)
        if sums := _digest_difference(original.digests, built.digests):
            # The row may be right again by now. That it was wrong when it was compared is not forgotten for that.
            named = await _name_difference(place, definition, schema, about, original)
            difference = named or difference or sums
        if difference and original.retried:
            difference = f"{difference}\n{_retried(original.retried)}"
        return Proof(definition, original, difference)
    finally:
        async with place.pool.connection() as connection:
            await drop_schema(connection, check)


async def remember(place: Workplace, schema: str, proof: Proof) -> None:
    """Keep what was compared, if it was equal; forget an earlier proof if not. Nor is one kept of months that have been
    dropped meanwhile.
    """
    async with place.pool.connection() as connection, connection.transaction():
        now = await kept_from(connection, schema)
        await execute(connection, "forget_verified", schema)
        if proof.difference is not None or now != proof.snapshot.kept_from:
            return
        for (partition, table), digest in proof.snapshot.digests.of_partitions().items():
            sequence = proof.snapshot.positions[partition]
            line = {"partition": partition, "table_name": table, "sequence": sequence}
            found = {"rows": digest.rows, "digest": digest.text, "verified_at": proof.snapshot.taken_at}
            await execute(connection, "verify", schema, **line, **found)


async def take_snapshot(connection: AsyncConnection[Any], definition: Definition, schema: str) -> Snapshot:
    """A version as it is now; at the beginning of a transaction that is REPEATABLE READ, or of tables that nobody
    changes.
    """
    await hold_months(connection, schema)
    [retried] = await execute(connection, "retried", schema)
    aside = await execute(connection, "contents_aside", schema)
    return Snapshot(
        taken_at=retried["now"],
        positions=await positions_of(connection, schema),
        digests=await digests(connection, schema, keys_of(definition)),
        kept_from=await kept_from(connection, schema),
        aside={(line["partition"], line["sequence"], line["row_index"]): bytes(line["hash"]) for line in aside},
        skipped=await skipped_rows(connection, schema),
        retried=retried["rows"],
    )


async def _build_up_to(
    place: Workplace, definition: Definition, check: str, about: About, original: Snapshot
) -> Snapshot:
    options = RunOptions(
        selection=about.selection, until=original.positions, on_poison="park", skipped=by_partition(original.skipped)
    )
    await build(place, definition, check, options, f"verify {about.name}_v{about.version}")
    async with place.pool.connection() as connection:
        return await take_snapshot(connection, definition, check)


async def _name_difference(
    place: Workplace, definition: Definition, schema: str, about: About, original: Snapshot
) -> str | None:
    """The first difference, in words. The original has gone on since, so the other follows to where it is now and to
    what it keeps, and the two are compared row by row within one moment of it.
    """
    check = f"{schema}{CHECK}"
    async with one_moment(place) as connection:
        await hold_months(connection, schema)
        now = replace(original, positions=await positions_of(connection, schema))
        await _build_up_to(place, definition, check, about, now)
        async with place.pool.connection() as other:
            await drop_pieces(other, check, await kept_from(connection, schema))
            found = await first_difference(connection, schema, other, check, definition)
    return str(found) if found else None


def _digest_difference(original: Digests, built: Digests) -> str | None:
    """The first table and org with other rows on one side, in words."""
    place = original.first_difference(built)
    if place is None:
        return None
    table, org_id = place
    here, there = (side.tables[table].get(org_id, Digest(0, 0, 0)) for side in (original, built))
    return (
        f"table {table}, org {org_id}: it had {here.rows:,} rows with digest {here.text}, but the stream makes "
        f"{there.rows:,} with digest {there.text}; the row that differed was written again before it could be named"
    )


def _aside_difference(original: Snapshot, built: Snapshot) -> str | None:
    """Rows that are put aside on one side only, or not as the stream has them, in words."""
    for one, other, words in (
        (original, built, "is parked, but a build from the stream can take it"),
        (built, original, "is not parked, but a build from the stream cannot take it"),
    ):
        if only := one.aside.keys() - other.aside.keys():
            return f"{_row(min(only))} {words}"
    changed = [key for key, kept in original.aside.items() if built.aside[key] != kept]
    if changed:
        return (
            f"{_row(min(changed))} is parked, but not as the stream has it: org_id, worker_id, subject, message_id, "
            "stored_at or data is another"
        )
    return None


def _row(key: RowKey) -> str:
    partition, sequence, row = key
    return f"{f'row {row} of ' if row >= 0 else ''}message {sequence} of partition {partition}"


def _retried(rows: int) -> str:
    were = "1 row was" if rows == 1 else f"{rows:,} rows were"
    return (
        f"{were} parked and applied by a retry, later than the stream has them: where order matters, that alone makes "
        "such a difference, and a rebuild puts them in their place."
    )


@asynccontextmanager
async def one_moment(place: Workplace) -> AsyncIterator[AsyncConnection[Any]]:
    """A connection that sees the database as it is at its first statement."""
    async with place.pool.connection() as connection:
        await connection.set_isolation_level(IsolationLevel.REPEATABLE_READ)
        await connection.set_read_only(True)
        try:
            async with connection.transaction():
                yield connection
        finally:
            await connection.set_isolation_level(None)
            await connection.set_read_only(None)


def _as_new(about: About) -> About:
    return msgspec.structs.replace(about, serving_since=None, paused=False, on_poison="park")
