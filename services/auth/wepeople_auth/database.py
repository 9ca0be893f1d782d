"""Auth's transactions, and what they raise when Postgres is away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
from psycopg import AsyncConnection, errors
from psycopg.rows import TupleRow

from wepeople_auth.refusals import DatabaseAway
from wepeople_chassis.logging import get_logger
from wepeople_chassis.postgres import Pool, named_queries

log = get_logger(__name__)

Connection = AsyncConnection[TupleRow]

_ORG_OF_APP = """
SELECT set_config('wepeople.org_id', coalesce((SELECT org_id FROM auth.apps WHERE app_id = %s), ''), true)
"""
_ORG_OF_KEY = """
SELECT set_config('wepeople.org_id', coalesce((SELECT org_id FROM auth.keys WHERE key_id = %s), ''), true)
"""

NOT_PROVISIONED = (errors.UndefinedTable, errors.InvalidSchemaName, errors.InsufficientPrivilege)


def load_queries(package: str, file: str) -> dict[str, bytes]:
    """The named statements of a SQL file, in the form that psycopg takes from trusted files."""
    return {name: text.encode() for name, text in named_queries(package, file).items()}


@asynccontextmanager
async def transaction(pool: Pool, *, wait_seconds: float = 2.0) -> AsyncIterator[Connection]:
    """A connection inside a transaction that commits at the end; `DatabaseAway` when Postgres is not there."""
    try:
        async with pool.connection(timeout=wait_seconds) as connection:
            yield connection
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise DatabaseAway from error


@asynccontextmanager
async def one_round_trip(pool: Pool, *, wait_seconds: float) -> AsyncIterator[Connection]:
    """A connection inside a transaction whose statements go out together: what they found is fetched afterwards.

    Raises as `transaction`.
    """
    async with transaction(pool, wait_seconds=wait_seconds) as connection:
        await connection.set_autocommit(True)
        try:
            async with connection.pipeline(), connection.transaction():
                yield connection
        finally:
            if not connection.closed:
                await connection.set_autocommit(False)


async def act_for_org_of_app(connection: Connection, app_id: str) -> None:
    """Let the transaction act for the app's org; it sees nothing when there is no such app."""
    await connection.execute("SELECT set_config('wepeople.app_id', %s, true)", [app_id])
    await connection.execute(_ORG_OF_APP, [app_id])


async def act_for_org_of_key(connection: Connection, key_id: str) -> None:
    """Let the transaction act for the key's org; it sees nothing when there is no such key."""
    await connection.execute("SELECT set_config('wepeople.key_id', %s, true)", [key_id])
    await connection.execute(_ORG_OF_KEY, [key_id])


async def wait_for_schema(pool: Pool) -> None:
    """Return once Postgres answers and the provisioner has made auth's tables."""
    said = ""
    while True:
        try:
            async with transaction(pool) as connection:
                await connection.execute("SELECT FROM auth.plans LIMIT 1")
        except DatabaseAway as error:
            waits_for = f"Postgres: {error.__cause__}"
        except NOT_PROVISIONED as error:
            waits_for = f"the provisioner: {error}"
        else:
            return
        if waits_for != said:
            log.warning("waiting", waits_for=waits_for)
            said = waits_for
        await asyncio.sleep(0.5)
