"""Reading the read models as an analyst would, and waiting for what must come."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from psycopg import AsyncConnection
from psycopg.rows import dict_row

T = TypeVar("T")


async def query(dsn: str, statement: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    """The rows of one statement."""
    async with await AsyncConnection.connect(dsn, row_factory=dict_row, connect_timeout=5) as connection:
        return await (await connection.execute(statement.encode(), parameters)).fetchall()


async def eventually(
    ask: Callable[[], Awaitable[T]], holds: Callable[[T], bool], *, within_seconds: float = 30.0, what: str = ""
) -> T:
    """Ask until the answer is as it should be, and return it; fails with the last answer when time is up."""
    deadline = time.monotonic() + within_seconds
    while not holds(answer := await ask()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_seconds:g} s: {what or holds}; the last answer was {answer!r}")
        await asyncio.sleep(0.05)
    return answer


async def rows_of_request(
    dsn: str, request_id: str, count: int, *, within_seconds: float = 15.0
) -> list[dict[str, Any]]:
    """The timeline's rows of one request, in their order, once there are `count` of them."""
    statement = "SELECT * FROM live.timeline WHERE request_id = %(request_id)s ORDER BY row_index"
    return await eventually(
        lambda: query(dsn, statement, {"request_id": request_id}),
        lambda rows: len(rows) == count,
        within_seconds=within_seconds,
        what=f"{count} rows of {request_id}",
    )
