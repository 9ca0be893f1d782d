"""What Postgres does about COPY and row-level security, on which the doors rest: docs/adr/0006."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from psycopg import AsyncConnection, errors

from tests.support.fresh import Fresh

TABLES = """
CREATE SCHEMA trap;
CREATE TABLE trap.real (org_id text NOT NULL PRIMARY KEY);
ALTER TABLE trap.real ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY one_org ON trap.real TO wepeople_projector USING (org_id = 'ours');
CREATE TABLE trap.door (LIKE trap.real) PARTITION BY LIST (org_id);
ALTER TABLE trap.door ATTACH PARTITION trap.real DEFAULT;
REVOKE ALL ON trap.door FROM wepeople_projector;
GRANT INSERT ON trap.door TO wepeople_projector;
"""


@pytest.fixture
async def owner(fresh: Fresh) -> AsyncIterator[AsyncConnection[Any]]:
    """Of a table whose row security is forced, and of a door to it."""
    async with await AsyncConnection.connect(fresh.dsn("projector"), autocommit=True) as connection:
        await connection.execute(TABLES.encode())
        yield connection


async def copy(connection: AsyncConnection[Any], into: bytes) -> None:
    async with connection.cursor() as cursor, cursor.copy(b"COPY trap." + into + b" FROM STDIN") as rows:
        await rows.write_row(("ours",))


async def test_copy_into_a_table_is_refused_where_policies_hold_even_if_they_would_let_the_rows_in(
    owner: AsyncConnection[Any],
) -> None:
    with pytest.raises(errors.FeatureNotSupported, match="row-level security"):
        await copy(owner, b"real")


async def test_copy_into_a_partitioned_table_is_not_asked_for_the_policies_of_its_partitions(
    owner: AsyncConnection[Any],
) -> None:
    await copy(owner, b"door")
    assert await (await owner.execute("SELECT org_id FROM trap.real")).fetchall() == [("ours",)]


@pytest.mark.parametrize("statement", ["SELECT FROM trap.door", "DELETE FROM trap.door", "COPY trap.door TO STDOUT"])
async def test_its_owner_reads_and_deletes_nothing_through_a_table_on_which_it_may_only_insert(
    owner: AsyncConnection[Any], statement: str
) -> None:
    with pytest.raises(errors.InsufficientPrivilege):
        await owner.execute(statement.encode())
