"""The projector's bare limit: binary COPY of its final rows into identical tables, with the same indexes.

Two of them. Row by row: the rows are in memory as Python values, and psycopg packs them (`set_types`), as any program
would. Ready-made bytes: nothing is packed at all, so this is what Postgres itself takes.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import Connection, Copy, sql
from psycopg.abc import Buffer
from psycopg.adapt import Dumper
from psycopg.pq import Format

SCHEMA = "bench_copy"
NOT_READ_MODELS = ("about", "checkpoint", "commits", "orgs", "parked", "parked_messages", "verified")
_JSONB = psycopg.adapters.types["jsonb"].oid


class RawJsonDumper(Dumper):
    """JSON text goes to JSONB as it is: a version byte and the text, not parsed and written again by the driver."""

    oid = _JSONB
    format = Format.BINARY

    def dump(self, obj: str) -> Buffer | None:
        """Called by psycopg."""
        return b"\x01" + obj.encode()


@dataclass(frozen=True, slots=True)
class Part:
    """What one transaction copies into one table: the same rows as Python values and as the bytes of COPY."""

    statement: sql.Composed
    types: list[int]
    rows: list[tuple[Any, ...]]
    ready: bytes


class BareCopy:
    """The read models' rows, and as many transactions as the projector took for them."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        with psycopg.connect(dsn, autocommit=True) as database:
            database.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(SCHEMA)))
            self.transactions = _one(database, "SELECT count(DISTINCT xmin::text) FROM live_v1.timeline")
            self.timeline_rows = _one(database, "SELECT count(*) FROM live_v1.timeline")
            self._tables = _tables_with_rows(database)
            parts = [_parts(database, table, self.transactions) for table in self._tables]
        self._parts = [list(of_transaction) for of_transaction in zip(*parts, strict=True)]

    def copy_rows(self) -> float:
        """Timeline rows/s when psycopg packs each row."""

        def write(copy: Copy, part: Part) -> None:
            copy.set_types(part.types)
            for row in part.rows:
                copy.write_row(row)

        return self._timed(write)

    def copy_ready_bytes(self) -> float:
        """Timeline rows/s when the bytes are ready."""
        return self._timed(lambda copy, part: copy.write(part.ready))

    def _timed(self, write: Callable[[Copy, Part], None]) -> float:
        with psycopg.connect(self._dsn, autocommit=True) as database:
            database.adapters.register_dumper(str, RawJsonDumper)
            tables = sql.SQL(", ").join(sql.Identifier(SCHEMA, table) for table in self._tables)
            database.execute(sql.SQL("TRUNCATE {}").format(tables))
            database.execute("CHECKPOINT")
            started_at = time.monotonic()
            for parts in self._parts:
                with database.transaction(), database.cursor() as cursor:
                    for part in parts:
                        with cursor.copy(part.statement) as copy:
                            write(copy, part)
            return self.timeline_rows / (time.monotonic() - started_at)


def _tables_with_rows(database: Connection) -> list[str]:
    # Ordinary tables: the doors through which the projector copies into them have no rows of their own.
    query = """
        SELECT relname FROM pg_class
        WHERE relnamespace = 'live_v1'::regnamespace AND relkind = 'r' AND relname <> ALL(%s) ORDER BY relname
    """
    names = [name for (name,) in database.execute(query, [list(NOT_READ_MODELS)]).fetchall()]
    count = sql.SQL("SELECT count(*) FROM {}")
    return [name for name in names if _one(database, count.format(sql.Identifier("live_v1", name)))]


def _parts(database: Connection, table: str, count: int) -> list[Part]:
    """Make an identical, empty table, and cut the rows of the original into `count` parts in the order of writing."""
    original, twin = sql.Identifier("live_v1", table), sql.Identifier(SCHEMA, table)
    database.execute(sql.SQL("CREATE TABLE {} (LIKE {} INCLUDING ALL)").format(twin, original))
    described = database.execute(sql.SQL("SELECT * FROM {} LIMIT 0").format(original)).description or []
    types = [column.type_code for column in described]
    columns = [sql.Identifier(column.name) for column in described]
    # JSONB is read as text, to be written as text.
    readable = [
        sql.SQL("{}::text").format(name) if type_ == _JSONB else name
        for name, type_ in zip(columns, types, strict=True)
    ]
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(twin, sql.SQL(", ").join(columns))
    total = _one(database, sql.SQL("SELECT count(*) FROM {}").format(original))
    parts = []
    for number in range(count):
        first, behind = total * number // count, total * (number + 1) // count
        of_part = sql.SQL("FROM {} ORDER BY ctid OFFSET {} LIMIT {}").format(original, first, behind - first)
        select = sql.SQL("SELECT {} {}")
        rows = database.execute(select.format(sql.SQL(", ").join(readable), of_part)).fetchall()
        with database.cursor().copy(
            sql.SQL("COPY ({}) TO STDOUT (FORMAT binary)").format(select.format(sql.SQL(", ").join(columns), of_part))
        ) as copy:
            ready = b"".join(copy)
        parts.append(Part(statement, types, rows, ready))
    return parts


def _one(database: Connection, query: str | sql.Composed) -> int:
    row = database.execute(query).fetchone()
    assert row is not None
    return int(row[0])
