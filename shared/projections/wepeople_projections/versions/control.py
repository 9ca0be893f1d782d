"""What commands read and decide in a projection's schema, beside `about`."""

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import dict_row

from wepeople_chassis.postgres import named_queries
from wepeople_contracts.subjects import PARTITIONS

_STATEMENTS = named_queries(__package__, "control.sql")

Connection = AsyncConnection[Any]
RowKey = tuple[int, int, int]
"""A row of a message: its partition, sequence and index, -1 for the message as a whole."""


@dataclass(frozen=True, slots=True)
class Reached:
    """How far a partition is: nothing up to `sequence` is missing, the last message of it is at `message_sequence`, and
    `rows` were applied.
    """

    stream_identity: str
    sequence: int
    message_sequence: int
    rows: int


@lru_cache(maxsize=256)
def statement(name: str, schema: str, **others: str) -> str:
    """A statement in the schema of one projection; schemas' names are plain (`is_name`), so they need no quotes."""
    text = _STATEMENTS[name].replace("{schema}", schema)
    for placeholder, value in others.items():
        text = text.replace(f"{{{placeholder}}}", value)
    return text


async def execute(connection: Connection, name: str, schema: str, **parameters: Any) -> list[dict[str, Any]]:
    """Run a statement that takes parameters; its rows."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(statement(name, schema), parameters)
        return await cursor.fetchall() if cursor.description else []


async def checkpoints(connection: Connection, schema: str) -> Mapping[int, Reached]:
    """How far every partition is that has begun."""
    found = await execute(connection, "positions", schema)
    return {line.pop("partition"): Reached(**line) for line in found}


def sequences(found: Mapping[int, Reached]) -> dict[int, int]:
    """Where every partition is; at 0 those that have not begun."""
    return dict.fromkeys(range(PARTITIONS), 0) | {partition: line.sequence for partition, line in found.items()}


async def positions_of(connection: Connection, schema: str) -> dict[int, int]:
    """Where every partition is now."""
    return sequences(await checkpoints(connection, schema))


async def skipped_rows(connection: Connection, schema: str) -> frozenset[RowKey]:
    """The rows that somebody decided to leave out for good."""
    found = await execute(connection, "settled_rows", schema)
    return frozenset((line["partition"], line["sequence"], line["row_index"]) for line in found)


def by_partition(rows: Iterable[RowKey]) -> dict[int, frozenset[tuple[int, int]]]:
    """Sequence and index of rows, by partition."""
    found = defaultdict[int, set[tuple[int, int]]](set)
    for partition, sequence, row in rows:
        found[partition].add((sequence, row))
    return {partition: frozenset(places) for partition, places in found.items()}


async def rows_aside(connection: Connection, schema: str) -> Mapping[RowKey, str]:
    """The rows that are parked or wait behind one, with the reasons."""
    found = await execute(connection, "aside", schema)
    return {(line["partition"], line["sequence"], line["row_index"]): line["reason"] for line in found}


@asynccontextmanager
async def only_one(connection: Connection, schema: str, refused: Exception) -> AsyncIterator[None]:
    """Hold a version for a command that nobody else may run on it meanwhile; raises `refused` when somebody does.

    The lock is the connection's, and goes with it.
    """
    what = f"wepeople projection {schema}"
    [line] = await execute(connection, "one_at_a_time", schema, what=what)
    if not line["mine"]:
        raise refused
    yield
