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
async def single_read(pool: Pool, *, wait_seconds: float) -> AsyncIterator[Connection]:
    """A connection for one SELECT, without a transaction around it: two round trips less. Raises as `transaction`."""
    async with transaction(pool, wait_seconds=wait_seconds) as connection:
        await connection.set_autocommit(True)
        try:
            yield connection
        finally:
            if not connection.closed:
                await connection.set_autocommit(False)


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
