"""What is in a version's tables, as a few numbers: the same for the same rows, in whatever order they were written.

Of every table and org: how many rows there are, and the sum of their hashes, each over all columns as text. Sums do not
depend on an order, and those of a partition are the sums of its orgs'. Where two versions differ, the first row that
does is named.
"""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from psycopg import AsyncConnection

from wepeople_contracts.subjects import PARTITIONS, partition_of
from wepeople_projections.definition.projection import Definition
from wepeople_projections.postgres.quoting import quoted

_HALF = 2**64
_FETCH_ROWS = 2_000
_SECRET = ("salt",)
_RUNTIME_KEYS = {
    "orgs": ("org_id",),
    "identifiers": ("org_id", "kind", "scope", "value"),
    "named_events": ("event_id",),
}
"""Tables that every projection has and that the stream decides about, with their keys."""
_FORMATS = {
    "TimeZone": "UTC",
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "iso_8601",
    "extra_float_digits": "1",
    "bytea_output": "hex",
}
"""How values are written as text, whatever the database's own ways are."""
# The volatile column keeps the planner from hashing each row twice, once for each half; workers still share the work.
_DIGEST = """
SELECT org_id, count(*), sum(('x' || substr(h, 1, 16))::bit(64)::bigint), sum(('x' || substr(h, 17))::bit(64)::bigint)
FROM (SELECT t.org_id, md5(t::text) AS h, clock_timestamp() FROM {table} t) hashed
GROUP BY org_id
"""
_ROWS = """
SELECT ROW({key})::text COLLATE "C" AS key, t::text, row_to_json(t)::text
FROM {table} t
WHERE t.org_id = %s
ORDER BY 1
"""


class Digest(NamedTuple):
    """Rows, and the two halves of the sum of their hashes."""

    rows: int
    high: int
    low: int

    @property
    def text(self) -> str:
        """The sum in 32 hexadecimal digits."""
        return f"{self.high:016x}{self.low:016x}"


def together(one: Digest, other: Digest) -> Digest:
    """The digest of the rows of both."""
    return Digest(one.rows + other.rows, (one.high + other.high) % _HALF, (one.low + other.low) % _HALF)


@dataclass(frozen=True, slots=True)
class Digests:
    """Of every table, by org."""

    tables: Mapping[str, Mapping[str, Digest]]

    def of_partitions(self) -> Mapping[tuple[int, str], Digest]:
        """By partition and table, also where there is no row."""
        found = {(partition, table): Digest(0, 0, 0) for partition in range(PARTITIONS) for table in self.tables}
        for table, orgs in self.tables.items():
            for org_id, digest in orgs.items():
                place = (partition_of(org_id), table)
                found[place] = together(found[place], digest)
        return found

    def of_table(self, table: str) -> Digest:
        """Of all orgs."""
        found = Digest(0, 0, 0)
        for digest in self.tables[table].values():
            found = together(found, digest)
        return found

    def first_difference(self, other: "Digests") -> tuple[str, str] | None:
        """The first table and org that are not the same in the other."""
        for table, orgs in self.tables.items():
            others = other.tables.get(table, {})
            for org_id in sorted({*orgs, *others}):
                if orgs.get(org_id) != others.get(org_id):
                    return table, org_id
        return None


@dataclass(frozen=True, slots=True)
class Difference:
    """The first row that is not the same: as JSON in the original and in what was built from the stream; None where
    there is no such row.
    """

    table: str
    org_id: str
    key: str
    original: str | None
    built: str | None

    def __str__(self) -> str:
        place = f"table {self.table}, org {self.org_id}, row {self.key}"
        if self.original is None:
            return f"{place}: the stream makes it, but it is not there"
        if self.built is None:
            return f"{place}: it is there, but the stream does not make it"
        here, there = json.loads(self.original), json.loads(self.built)
        columns = [name for name in here if here[name] != there.get(name)]
        told = [
            name
            if name in _SECRET
            else f"{name} is {_shown(here[name])}, but the stream makes {_shown(there.get(name))}"
            for name in columns
        ]
        return f"{place}: {'; '.join(told) or 'it differs in how it is written'}"


async def digests(connection: AsyncConnection[Any], schema: str, tables: Iterable[str]) -> Digests:
    """The digests of a version's tables, of what the caller's transaction sees."""
    found = {}
    async with _same_formats(connection):
        for table in tables:
            cursor = await connection.execute(_DIGEST.replace("{table}", f"{quoted(schema)}.{quoted(table)}"))
            found[table] = {
                org_id: Digest(rows, int(high) % _HALF, int(low) % _HALF)
                for org_id, rows, high, low in await cursor.fetchall()
            }
    return Digests(found)


async def first_difference(
    original: AsyncConnection[Any],
    schema: str,
    built: AsyncConnection[Any],
    built_schema: str,
    definition: Definition,
) -> Difference | None:
    """The first row in which two versions differ, each as its connection sees it."""
    keys = keys_of(definition)
    here, there = await digests(original, schema, keys), await digests(built, built_schema, keys)
    place = here.first_difference(there)
    if place is None:
        return None
    table, org_id = place
    key = keys[table]
    async with _same_formats(original), _same_formats(built):
        ours, theirs = _rows(original, schema, table, key, org_id), _rows(built, built_schema, table, key, org_id)
        mine, other = await anext(ours, None), await anext(theirs, None)
        while mine is not None and mine[:2] == (other and other[:2]):
            mine, other = await anext(ours, None), await anext(theirs, None)
        await ours.aclose()
        await theirs.aclose()
    if mine is not None and (other is None or mine[0] < other[0]):
        return Difference(table, org_id, mine[0], mine[2], None)
    assert other is not None, "the digests differ"
    if mine is None or other[0] < mine[0]:
        return Difference(table, org_id, other[0], None, other[2])
    return Difference(table, org_id, mine[0], mine[2], other[2])


def keys_of(definition: Definition) -> Mapping[str, tuple[str, ...]]:
    """The tables that the stream decides about, and their keys."""
    return {spec.name: spec.key for spec in definition.tables} | _RUNTIME_KEYS


async def _rows(
    connection: AsyncConnection[Any], schema: str, table: str, key: tuple[str, ...], org_id: str
) -> AsyncGenerator[tuple[str, str, str]]:
    statement = _ROWS.replace("{table}", f"{quoted(schema)}.{quoted(table)}").replace(
        "{key}", ", ".join(f"t.{quoted(column)}" for column in key)
    )
    async with connection.cursor(name=f"rows_of_{schema}") as cursor:
        cursor.itersize = _FETCH_ROWS
        await cursor.execute(statement, [org_id])
        async for row in cursor:
            yield row


@asynccontextmanager
async def _same_formats(connection: AsyncConnection[Any]) -> AsyncIterator[None]:
    async with connection.transaction():
        for name, value in _FORMATS.items():
            await connection.execute("SELECT set_config(%s, %s, true)", [name, value])
        yield


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
