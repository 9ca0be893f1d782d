"""A provisioned database and an empty stream for each test, cheaply: the database is cloned from a template."""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from nats.aio.client import Client
from psycopg import AsyncConnection, sql

from tests.support.servers import Servers
from wepeople_chassis.broker import NatsAddress, connect
from wepeople_contracts.subjects import LEASE_STREAM, STREAMS
from wepeople_provision.dsn import login_dsn
from wepeople_provision.errors import ProvisionError
from wepeople_provision.grants import grant_on_database
from wepeople_provision.migrations import installed_files
from wepeople_provision.provision import provision_database
from wepeople_provision.roles import LOGIN_ROLES
from wepeople_provision.stream import provision_streams
from wepeople_provision.stream_plan import Wishes

RENEW_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Template:
    """A provisioned database that others are cloned from, and the roles' passwords: in the clear, and as the server
    keeps them.
    """

    servers: Servers
    database: str
    passwords: dict[str, str]
    verifiers: dict[str, str]


@dataclass(frozen=True, slots=True)
class Fresh:
    """A database of its own, and the stream, new and empty."""

    nats_url: str
    admin_dsn: str
    passwords: dict[str, str]

    def dsn(self, who: str) -> str:
        """The address for `auth`, `quota`, `projector`, `analyst`, `operator` or `admin`."""
        if who == "admin":
            return self.admin_dsn
        role = f"wepeople_{who}"
        return login_dsn(self.admin_dsn, role, self.passwords[role])


@asynccontextmanager
async def template_database(servers: Servers) -> AsyncIterator[Template]:
    """Provision a database once for the whole run."""
    passwords = {role: secrets.token_urlsafe(12) for role in LOGIN_ROLES}
    async with _database(servers.admin_dsn, template=None) as (name, admin_dsn):
        await provision_database(admin_dsn, passwords, installed_files())
        async with await AsyncConnection.connect(admin_dsn) as connection:
            verifiers = await _verifiers(connection)
        # Nobody may be connected to what is cloned.
        yield Template(servers, name, passwords, verifiers)


@asynccontextmanager
async def fresh_database(template: Template) -> AsyncIterator[str]:
    """The superuser's DSN of a new clone; dropped at the end, whoever is still connected."""
    async with _database(template.servers.admin_dsn, template=template.database) as (_, admin_dsn):
        async with await AsyncConnection.connect(admin_dsn) as connection:
            await grant_on_database(connection)
            await _put_back(connection, template.verifiers)
        yield admin_dsn


async def _verifiers(connection: AsyncConnection) -> dict[str, str]:
    found = await connection.execute(
        "SELECT rolname, rolpassword FROM pg_authid WHERE rolname = ANY(%s)", [list(LOGIN_ROLES)]
    )
    return dict(await found.fetchall())


async def _put_back(connection: AsyncConnection, verifiers: dict[str, str]) -> None:
    """Roles are the whole server's: a test that left one with another password harms no other test."""
    there = await _verifiers(connection)
    for role, verifier in verifiers.items():
        if there.get(role) != verifier:
            statement = sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), sql.Literal(verifier))
            await connection.execute(statement)


async def renew_stream(connection: Client, streams: int | None = None) -> None:
    """Delete the streams and provision one, or so many: sequences start at 1 again, and no message id is remembered;
    nobody holds quota's lease, whatever became of an earlier test's processes.
    """
    there = json.loads((await connection.request("$JS.API.STREAM.NAMES", b"", timeout=10)).data)["streams"] or []
    for name in {*STREAMS, LEASE_STREAM} & set(there):
        await connection.request(f"$JS.API.STREAM.DELETE.{name}", b"", timeout=10)
    deadline = time.monotonic() + RENEW_SECONDS
    while True:
        try:
            await provision_streams(connection, Wishes(streams=streams))
            return
        except ProvisionError:
            # The server may still be removing the files of the stream that it says is gone.
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.05)


@asynccontextmanager
async def fresh_system(template: Template) -> AsyncIterator[Fresh]:
    """Both."""
    connection = await connect(NatsAddress(template.servers.nats_url), "tests")
    try:
        await renew_stream(connection)
    finally:
        await connection.close()
    async with fresh_database(template) as admin_dsn:
        yield Fresh(template.servers.nats_url, admin_dsn, template.passwords)


@asynccontextmanager
async def _database(admin_dsn: str, template: str | None) -> AsyncIterator[tuple[str, str]]:
    name = f"test_{secrets.token_hex(6)}"
    identifier = sql.Identifier(name)
    statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY")
    async with await AsyncConnection.connect(admin_dsn, autocommit=True) as admin:
        await admin.execute(statement.format(identifier, sql.Identifier(template or "template0")))
        new_dsn = login_dsn(admin_dsn, admin.info.user, admin.info.password, name)
    try:
        yield name, new_dsn
    finally:
        async with await AsyncConnection.connect(admin_dsn, autocommit=True) as admin:
            await admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(identifier))
