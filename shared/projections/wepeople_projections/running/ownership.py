"""Shares the partitions of one schema among processes: one writer each, by advisory locks of one connection.

A process that is gone has lost its connection, and with it its locks: others take its partitions at their next look.
Every member holds one lock more, shared, by which members are counted. Whoever writes although it lost its locks is
fenced by the checkpoint.
"""

import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from psycopg import AsyncConnection

from wepeople_chassis.postgres import Pool
from wepeople_projections.running.statements import statements

Connection = AsyncConnection[Any]

_MEMBER = -1


def share(partitions: int, members: int, rank: int) -> int:
    """How many partitions the member of this rank (from 0) may have: as evenly as can be, all of them together."""
    return partitions // members + (rank < partitions % members)


class Ownership:
    """What one process holds of a schema's partitions, by the connection it was made with."""

    def __init__(self, connection: Connection, schema: str) -> None:
        self.held: set[int] = set()
        self._connection = connection
        self._schema = _lock_number(schema)
        self._sql = statements(schema)
        self._member = False

    async def join(self) -> None:
        """Be counted as a member."""
        if not self._member:
            await self._connection.execute(self._sql["join"], [self._schema, _MEMBER])
            self._member = True

    async def leave(self) -> None:
        """Be no member any more."""
        if self._member:
            await self._connection.execute(self._sql["leave"], [self._schema, _MEMBER])
            self._member = False

    async def share_of(self, partitions: int) -> int:
        """How many of so many partitions are this member's now."""
        members = await _members(self._connection, self._sql["members"], self._schema)
        return share(partitions, len(members), members.index(self._connection.info.backend_pid))

    async def take(self, candidates: Sequence[int], count: int) -> set[int]:
        """Take up to `count` of the partitions that nobody holds; those taken."""
        taken: set[int] = set()
        for partition in candidates:
            if len(taken) == count:
                break
            cursor = await self._connection.execute(self._sql["take"], [self._schema, partition])
            row = await cursor.fetchone()
            if row is not None and row[0]:
                taken.add(partition)
        self.held |= taken
        return taken

    async def release(self, partition: int) -> None:
        """Let others have a partition; its writer has ended before."""
        await self._connection.execute(self._sql["release"], [self._schema, partition])
        self.held.discard(partition)


async def member_count(connection: Connection, schema: str) -> int:
    """How many processes run the schema's projection now."""
    return len(await _members(connection, statements(schema)["members"], _lock_number(schema)))


async def wait_or_lose(connection: Connection, seconds: float) -> None:
    """Wait; `psycopg.OperationalError` as soon as the connection is lost."""
    async for _ in connection.notifies(timeout=seconds):
        continue


@asynccontextmanager
async def session_connection(pool: Pool) -> AsyncIterator[Connection]:
    """A connection like the pool's, outside of it and without transactions, whose end gives up all its locks."""
    assert isinstance(pool.conninfo, str), "pools are made from a DSN"
    kwargs: dict[str, Any] = {**(pool.kwargs if isinstance(pool.kwargs, dict) else {}), "autocommit": True}
    async with await AsyncConnection.connect(pool.conninfo, **kwargs) as connection:
        yield connection


async def _members(connection: Connection, statement: str, schema: int) -> list[int]:
    """The members' server processes, in the order that all of them see."""
    cursor = await connection.execute(statement, [schema, _MEMBER])
    return [pid for (pid,) in await cursor.fetchall()]


def _lock_number(schema: str) -> int:
    return int.from_bytes(hashlib.blake2b(schema.encode(), digest_size=4).digest(), "big", signed=True)
