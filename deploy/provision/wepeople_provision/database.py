"""The provisioner's connections."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from psycopg import AsyncConnection, OperationalError

from wepeople_chassis.postgres import own_names_only
from wepeople_provision.errors import ProvisionError

_NOTICE_A_LOST_MACHINE = (("tcp_keepalives_idle", 10), ("tcp_keepalives_interval", 5), ("tcp_keepalives_count", 4))


@asynccontextmanager
async def database_at(dsn: str) -> AsyncIterator[AsyncConnection]:
    """A connection as the login of the address; `ProvisionError` when Postgres is away."""
    try:
        async with await AsyncConnection.connect(
            dsn, autocommit=True, connect_timeout=10, options=own_names_only(dsn)
        ) as connection:
            yield connection
    except OperationalError as error:
        raise ProvisionError(f"Postgres does not answer as it should: {error}") from error


async def end_with_its_machine(connection: AsyncConnection) -> None:
    """Let the server end the connection, and let its locks go, within 30 s of the loss of this machine."""
    for setting, seconds in _NOTICE_A_LOST_MACHINE:
        await connection.execute("SELECT set_config(%s, %s, false)", [setting, str(seconds)])
