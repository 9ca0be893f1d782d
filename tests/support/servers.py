"""Real servers for the tests, by WP_TEST_SERVERS: `embedded` (default), `containers` or `external`.

External servers are changed and emptied by the tests. A mode that was asked for and cannot run is a failure, never a
skip.
"""

import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from psycopg import AsyncConnection

from tests.support.containers import container_servers
from tests.support.nats_users import ACCESS
from wepeople_embedded.nats_server import NatsServer
from wepeople_embedded.ports import free_port
from wepeople_embedded.postgres_server import PostgresServer


@dataclass(frozen=True, slots=True)
class Servers:
    """Where NATS and Postgres are; `admin_dsn` is a superuser's."""

    nats_url: str
    admin_dsn: str


@asynccontextmanager
async def running_servers(directory: Path) -> AsyncIterator[Servers]:
    """The servers of the mode asked for; those that were started here are stopped at the end."""
    match os.environ.get("WP_TEST_SERVERS", "embedded"):
        case "embedded":
            async with embedded_servers(directory) as servers:
                yield servers
        case "containers":
            with container_servers(directory) as (nats_url, admin_dsn):
                yield Servers(nats_url, admin_dsn)
        case "external":
            yield Servers(_required("WP_TEST_NATS_URL"), _required("WP_TEST_ADMIN_DSN"))
        case other:
            raise RuntimeError(f"WP_TEST_SERVERS={other}: it is one of embedded, containers, external")


@asynccontextmanager
async def embedded_servers(directory: Path) -> AsyncIterator[Servers]:
    """The wheels' servers, as `wepeople up` starts them; but each test has a database made, and Postgres would wait for
    the disk at each file of it. What that guards against is a machine that loses power, which no test does.
    """
    nats = NatsServer(directory / "nats", port=free_port(), log_path=directory / "nats.log", access=ACCESS)
    postgres = PostgresServer(
        directory / "postgres",
        port=free_port(),
        password=secrets.token_urlsafe(16),
        log_path=directory / "postgres.log",
    )
    try:
        await nats.start()
        await postgres.start()
        await _spare_the_disk(postgres.dsn())
        yield Servers(nats.url, postgres.dsn())
    finally:
        await nats.stop()
        await postgres.stop()


async def _spare_the_disk(admin_dsn: str) -> None:
    async with await AsyncConnection.connect(admin_dsn, autocommit=True) as connection:
        await connection.execute("ALTER SYSTEM SET fsync = off")
        await connection.execute("SELECT pg_reload_conf()")


def _required(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise RuntimeError(f"WP_TEST_SERVERS=external needs WP_TEST_NATS_URL and WP_TEST_ADMIN_DSN; {name} is missing")
    return value
