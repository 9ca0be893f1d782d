"""Row-level security of a projection's schema: forced on every table with rows of orgs, for its owner too."""

from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from psycopg import AsyncConnection

from wepeople_chassis.postgres import named_queries
from wepeople_contracts.subjects import partition_of
from wepeople_projections.postgres.quoting import quoted

_SECURE = files(__package__).joinpath("row_security.sql").read_text()
_COMMITS = named_queries(__package__, "commits.sql")


def door_of(table: str) -> str:
    """The table through which rows are copied into another: see docs/adr/0006."""
    return f"Door of {table}"


async def secure_rows(connection: AsyncConnection[Any], schema: str) -> None:
    """Do what is missing of it, in the caller's transaction; nothing in a schema that is as it should be.

    A schema of a release before has a journal of commits that does not tell orgs: each org then gets the last moment of
    its partition.
    """
    cursor = await connection.execute(_in(schema, "is_by_partition"))
    if await cursor.fetchone() is not None:
        await _journal_by_org(connection, schema)
    await connection.execute(_SECURE.replace("{schema}", quoted(schema)).encode())


async def _journal_by_org(connection: AsyncConnection[Any], schema: str) -> None:
    cursor = await connection.execute(_in(schema, "last_of_partitions"))
    last = {partition: (through, at) for partition, through, at in await cursor.fetchall()}
    orgs: Sequence[tuple[str]] = await (await connection.execute(_in(schema, "orgs"))).fetchall()
    await connection.execute(_in(schema, "begin_anew"))
    for (org_id,) in orgs:
        if known := last.get(partition_of(org_id)):
            await connection.execute(_in(schema, "keep"), [org_id, partition_of(org_id), *known])


def _in(schema: str, query: str) -> bytes:
    return _COMMITS[query].replace("{schema}", quoted(schema)).encode()
