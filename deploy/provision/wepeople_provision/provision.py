"""Everything in its order, by one provisioner at a time; or what that would be."""

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from nats.aio.client import Client
from psycopg import AsyncConnection
from psycopg.conninfo import make_conninfo
from psycopg.errors import LockNotAvailable

from wepeople_chassis.broker import BROKER_DOWN, NatsAddress, connect
from wepeople_chassis.stream import NobodyTakes
from wepeople_provision.change import Change
from wepeople_provision.database import database_at, end_with_its_machine
from wepeople_provision.errors import ProvisionError
from wepeople_provision.grants import grant_on_database, plan_grants, refuse_traps
from wepeople_provision.migrations import SchemaFile, installed_files
from wepeople_provision.roles import SERVICE_ROLES, plan_roles, provision_roles
from wepeople_provision.schemas import PATIENCE, Patience, plan_schemas, provision_schemas
from wepeople_provision.stream import plan_streams, provision_streams, refuse_streams
from wepeople_provision.stream_lock import WAIT_SECONDS
from wepeople_provision.stream_plan import NO_WISHES, Wishes

ADVISORY_LOCK = 0x77657065  # "wepe"
NATS_SECONDS = 30.0
SILENT_SECONDS = 2.0
"""After which somebody who waits for NATS is told so."""


async def provision(
    nats: NatsAddress,
    admin_dsn: str,
    passwords: Mapping[str, str],
    *,
    after_rollout: bool = False,
    wishes: Wishes = NO_WISHES,
) -> list[str]:
    """Make stream, roles and schemas right, and return what was done, in words; nothing to do is no error.

    `admin_dsn` names the database and a superuser of it; `passwords` maps each login role to its password. A second
    provisioner of the same database waits for the first. `after_rollout` says that no process of the release before is
    left. `ProvisionError` when something stands in the way; what can be foreseen of the streams is, before anything of
    the database is changed.
    """
    async with nats_at(nats) as connection:
        await refuse_streams(connection, wishes)
    done = await provision_database(admin_dsn, passwords, installed_files(), after_rollout=after_rollout)
    async with nats_at(nats, NATS_SECONDS + WAIT_SECONDS) as connection:
        return done + await provision_streams(connection, wishes)


async def plan(
    nats: NatsAddress,
    admin_dsn: str,
    passwords: Mapping[str, str],
    *,
    after_rollout: bool = False,
    wishes: Wishes = NO_WISHES,
) -> list[Change]:
    """What `provision` would change, of both servers; nothing is, and nobody waits for it."""
    async with database_at(admin_dsn) as connection:
        await connection.execute("SET default_transaction_read_only = on")
        await refuse_traps(connection)
        changes = await plan_roles(connection, passwords)
        changes += await plan_grants(connection)
        changes += await plan_schemas(connection, installed_files(), after_rollout=after_rollout)
    async with nats_at(nats) as broker:
        return changes + await plan_streams(broker, wishes)


async def provision_database(
    admin_dsn: str,
    passwords: Mapping[str, str],
    files: Sequence[SchemaFile],
    *,
    after_rollout: bool = False,
    patience: Patience = PATIENCE,
) -> list[str]:
    """Roles, grants, and the schemas that the files make, each file by the login of its member."""
    async with database_at(admin_dsn) as connection:
        await _lock(connection, patience.turn_seconds)
        await refuse_traps(connection)
        done = await provision_roles(connection, passwords)
        granted = [str(change) for change in await plan_grants(connection)]
        await grant_on_database(connection)
        logins = {role: make_conninfo(admin_dsn, user=role, password=passwords[role]) for role in SERVICE_ROLES}
        schemas = await provision_schemas(connection, logins, files, after_rollout=after_rollout, patience=patience)
        return done + granted + schemas


async def _lock(connection: AsyncConnection, turn_seconds: float) -> None:
    """Be the only provisioner of this database until the connection ends, which a lost machine's does within 30 s."""
    await end_with_its_machine(connection)
    try:
        async with connection.transaction():
            await connection.execute("SELECT set_config('lock_timeout', %s, true)", [f"{turn_seconds * 1000:.0f}ms"])
            await connection.execute("SELECT pg_advisory_lock(%s::bigint)", [ADVISORY_LOCK])
    except LockNotAvailable as error:
        raise ProvisionError(
            f"Another provisioner of this database has been at work for more than {turn_seconds:g} s. "
            "Nothing was done. Wait for it, or end it, and run this again."
        ) from error


@asynccontextmanager
async def nats_at(nats: NatsAddress, seconds: float | None = NATS_SECONDS) -> AsyncIterator[Client]:
    """A connection for work of so many seconds at most.

    `ProvisionError` with the reason of the last attempt when NATS lets nobody in, which is waited for a while, and
    when no stream takes some partition.
    """
    reasons: list[str] = []
    try:
        connection = await _connect(nats, reasons)
        try:
            async with asyncio.timeout(seconds):
                yield connection
        finally:
            await connection.close()
    except NobodyTakes as error:
        raise ProvisionError(f"{error}.") from error
    except TimeoutError as error:
        reason = f" The last reason: {reasons[-1]}." if reasons else ""
        raise ProvisionError(f"NATS at {nats.url} did not answer in time.{reason}") from error
    except BROKER_DOWN as error:
        reason = reasons[-1] if reasons else repr(error)
        raise ProvisionError(f"NATS at {nats.url} does not answer as it should: {reason}") from error


async def _connect(nats: NatsAddress, reasons: list[str]) -> Client:
    """Waits, and says so, while NATS is away; why it lets nobody in is added to the reasons."""

    async def failed(error: Exception) -> None:
        reasons.append(str(error) or repr(error))

    def say() -> None:
        reason = f" ({reasons[-1]})" if reasons else ""
        print(f"NATS at {nats.url} does not answer{reason}: waiting up to {NATS_SECONDS:g} s for it.", file=sys.stderr)

    telling = asyncio.get_running_loop().call_later(SILENT_SECONDS, say)
    try:
        async with asyncio.timeout(NATS_SECONDS):
            return await connect(nats, "wepeople-provision", error_cb=failed)
    finally:
        telling.cancel()
