"""Readers while versions are swapped: none sees an error, and each sees one version or the other."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, ClassVar

import pytest
from psycopg import AsyncConnection

from tests.support.fresh import Fresh
from wepeople_chassis.postgres import Pool, make_pool
from wepeople_projections import Projection, Row, on_event, table
from wepeople_projections.definition.projection import define
from wepeople_projections.postgres.about import About
from wepeople_projections.postgres.ddl import create_schema
from wepeople_projections.versions.swapping import promote

SWAPS = 20
MANY_SWAPS = 200
NAME = "order"
"""A word of SQL is a projection's name like any other."""


@table(key=("name",), name="first")
class First(Row, frozen=True):
    name: str
    number: int


@table(key=("name",), name="second")
class Second(Row, frozen=True):
    name: str
    number: int


@table(key=("name",), name="first")
class OtherFirst(Row, frozen=True):
    """With its columns in another order, and one more."""

    number: int
    more: str
    name: str


class One(Projection):
    name = NAME
    version = 1
    tables: ClassVar[tuple[type[Row], ...]] = (First, Second)

    @on_event()
    def nothing(self, event: object) -> None:
        return None


class Two(One):
    version = 2


class Three(One):
    version = 3
    tables = (OtherFirst, Second)


Connection = AsyncConnection[Any]


@pytest.fixture
async def pool(fresh: Fresh) -> AsyncIterator[Pool]:
    """An analyst's; there are three versions, whose rows have the version's number."""
    opened = make_pool(fresh.dsn("analyst"), "tests")
    await opened.open()
    async with opened.connection() as connection:
        for projection in (One, Two, Three):
            definition = define(projection)
            about = About(name=NAME, version=definition.version, source="", code_sha256="", tables_sha256="")
            await create_schema(connection, definition, definition.schema, about)
            for spec in definition.tables:
                row = {c: definition.version if c == "number" else "x" for c in spec.names}
                columns, places = ", ".join(row), ", ".join(f"%({name})s" for name in row)
                await connection.execute(
                    f"INSERT INTO {definition.schema}.{spec.name} ({columns}) VALUES ({places})", row
                )
    await promote(opened, NAME, f"{NAME}_v1", None)
    yield opened
    await opened.close()


async def swap(pool: Pool, one: int, other: int, times: int) -> None:
    for n in range(times):
        serving, next_ = (one, other) if n % 2 == 0 else (other, one)
        await promote(pool, NAME, f"{NAME}_v{next_}", f"{NAME}_v{serving}")


@asynccontextmanager
async def reading(fresh: Fresh, read: Callable[[Connection], Awaitable[int]]) -> AsyncIterator[set[int]]:
    """Read all the time; what was seen. An error comes out at the end."""
    seen: set[int] = set()
    stopped = asyncio.Event()

    async def go_on() -> None:
        async with await AsyncConnection.connect(fresh.dsn("operator"), autocommit=True) as connection:
            while not stopped.is_set():
                seen.add(await read(connection))

    task = asyncio.create_task(go_on())
    yield seen
    stopped.set()
    await task


async def one(connection: Connection, statement: str, *, prepare: bool = False) -> int:
    cursor = await connection.execute(statement, prepare=prepare)
    row = await cursor.fetchone()
    assert row is not None
    return int(row[0])


async def simply(connection: Connection) -> int:
    return await one(connection, 'SELECT number FROM "order".first')


async def prepared(connection: Connection) -> int:
    return await one(connection, 'SELECT number FROM "order".first', prepare=True)


async def both_at_once(connection: Connection) -> int:
    """Never a row of one version beside one of another."""
    statement = 'SELECT number FROM "order".second JOIN "order".first USING (name, number)'
    return await one(connection, statement, prepare=True)


async def one_after_the_other(connection: Connection) -> int:
    """In a transaction, and in the other order than that in which the views are replaced."""
    async with connection.transaction():
        await one(connection, 'SELECT number FROM "order".second')
        await asyncio.sleep(0.01)
        return await one(connection, 'SELECT number FROM "order".first')


@pytest.mark.parametrize("times", [SWAPS, pytest.param(MANY_SWAPS, marks=pytest.mark.slow)])
@pytest.mark.parametrize("other", [2, 3], ids=["same columns", "other columns"])
async def test_readers_see_no_error_while_versions_are_swapped(
    fresh: Fresh, pool: Pool, other: int, times: int
) -> None:
    async with AsyncExitStack() as readers:
        ways = (simply, prepared, both_at_once, one_after_the_other)
        seen = [await readers.enter_async_context(reading(fresh, read)) for read in ways]
        await swap(pool, 1, other, times)
    assert seen == [{1, other}] * 4
