"""Everything in its order, by one provisioner at a time."""

import asyncio
from collections.abc import Mapping, Sequence

from psycopg import AsyncConnection, OperationalError
from psycopg.errors import LockNotAvailable

from wepeople_chassis.broker import BROKER_DOWN, NatsAddress, connect
from wepeople_provision.errors import ProvisionError
from wepeople_provision.migrations import SchemaFile, installed_files
from wepeople_provision.roles import grant_on_database, provision_roles
from wepeople_provision.schemas import PATIENCE, Patience, provision_schemas
from wepeople_provision.stream import provision_streams

ADVISORY_LOCK = 0x77657065  # "wepe"
NATS_SECONDS = 30.0


async def provision(
    nats: NatsAddress, admin_dsn: str, passwords: Mapping[str, str], *, after_rollout: bool = False
) -> list[str]:
    """Make stream, roles and schemas right, and return what was done, in words; nothing to do is no error.

    `admin_dsn` names the database and a superuser of it; `passwords` maps each login role to its password. A second
    provisioner of the same database waits for the first. `after_rollout` says that no process of the release before is
    left. `ProvisionError` when something stands in the way.
    """
    done = await provision_database(admin_dsn, passwords, installed_files(), after_rollout=after_rollout)
    return done + await provision_nats(nats)


async def provision_database(
    admin_dsn: str,
    passwords: Mapping[str, str],
    files: Sequence[SchemaFile],
    *,
    after_rollout: bool = False,
    patience: Patience = PATIENCE,
) -> list[str]:
    """Roles, grants, and the schemas that the files make."""
    try:
        async with await AsyncConnection.connect(admin_dsn, autocommit=True, connect_timeout=10) as connection:
            await _lock(connection, patience.turn_seconds)
            done = await provision_roles(connection, passwords)
            await grant_on_database(connection)
            return done + await provision_schemas(connection, files, after_rollout=after_rollout, patience=patience)
    except OperationalError as error:
        raise ProvisionError(f"Postgres does not answer as it should: {error}") from error


async def _lock(connection: AsyncConnection, turn_seconds: float) -> None:
    """Be the only provisioner of this database until the connection ends, which a lost machine's does within 30 s."""
    for setting, seconds in (("tcp_keepalives_idle", 10), ("tcp_keepalives_interval", 5), ("tcp_keepalives_count", 4)):
        await connection.execute("SELECT set_config(%s, %s, false)", [setting, str(seconds)])
    try:
        async with connection.transaction():
            await connection.execute("SELECT set_config('lock_timeout', %s, true)", [f"{turn_seconds * 1000:.0f}ms"])
            await connection.execute("SELECT pg_advisory_lock(%s)", [ADVISORY_LOCK])
    except LockNotAvailable as error:
        raise ProvisionError(
            f"Another provisioner of this database has been at work for more than {turn_seconds:g} s. "
            "Nothing was done. Wait for it, or end it, and run this again."
        ) from error


async def provision_nats(nats: NatsAddress) -> list[str]:
    """The stream and the bucket; the server's own consistency needs no lock around it."""
    try:
        async with asyncio.timeout(NATS_SECONDS):
            connection = await connect(nats, "wepeople-provision")
            try:
                return await provision_streams(connection)
            finally:
                await connection.close()
    except TimeoutError as error:
        raise ProvisionError(f"NATS does not answer at {nats.url}; {NATS_SECONDS:.0f} s were not enough.") from error
    except BROKER_DOWN as error:
        raise ProvisionError(f"NATS at {nats.url} does not answer as it should: {error!r}") from error
