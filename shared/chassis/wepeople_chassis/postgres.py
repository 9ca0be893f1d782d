"""Pools of Postgres connections, made in one way by every service."""

from collections.abc import Awaitable, Callable, Sequence
from importlib.resources import files
from typing import Any

import psycopg
from psycopg import AsyncConnection
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool

Pool = AsyncConnectionPool[AsyncConnection[TupleRow]]

IDLE_SECONDS = 60.0
"""So long a connection is kept that nobody needs: the server has few for all of us."""

_ASK_SECONDS = 1.5

_NOTICE_A_LOST_MACHINE = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}
"""A connection whose other end vanished without a word ends within 25 s; the kernel's own time is hours."""


def own_names_only(dsn: str) -> str:
    """The `options` by which a connection to this address takes names without a schema for Postgres' own alone.

    The default looks into a schema named like the role first, and whoever may create schemas may create that one.
    """
    return f"{conninfo_to_dict(dsn).get('options') or ''} -csearch_path=pg_catalog,pg_temp".strip()


def make_pool(dsn: str, service: str, *, min_size: int = 1, max_size: int = 4) -> Pool:
    """A pool that is not open yet (`await pool.open()`), checks a connection before it lends it, and waits at most 5 s.

    It gives a lost database up after 2 s and tries anew whenever somebody asks: its own back-off would go on for as
    long again as the database was away.

    `psycopg_pool.PoolTimeout` (an `OperationalError`) when the database is away.
    """
    return AsyncConnectionPool(
        dsn,
        min_size=min_size,
        max_size=max_size,
        timeout=5.0,
        reconnect_timeout=2.0,
        max_idle=IDLE_SECONDS,
        open=False,
        check=AsyncConnectionPool.check_connection,
        kwargs={
            "application_name": f"wepeople-{service}",
            "connect_timeout": 2,
            "options": own_names_only(dsn),
            **_NOTICE_A_LOST_MACHINE,
        },
    )


def database_answers(pool: Pool) -> Callable[[], Awaitable[str | None]]:
    """Whether Postgres answers on a connection of the pool; what is wrong in words without its address."""

    async def ask() -> str | None:
        try:
            async with pool.connection(timeout=_ASK_SECONDS) as connection:
                await connection.execute("SELECT")
        except psycopg.Error as error:
            return f"does not answer ({type(error).__name__})"
        return None

    return ask


async def act_for_org(connection: AsyncConnection[Any], org_id: str) -> None:
    """Let the transaction see and change the rows of one org, and no other's: row policies read this setting.

    It ends with the transaction. A role whose policies ask for an org sees nothing before. `ValueError` for no org: to
    the policies of others, who fold, that is all of them.
    """
    if not org_id:
        raise ValueError("a transaction acts for one org, not for none")
    await connection.execute("SELECT set_config('wepeople.org_id', %s, true)", [org_id])


async def act_across_orgs(connection: AsyncConnection[Any], purpose: str) -> None:
    """Let the transaction do what a policy named after this purpose lets its role do with the rows of all orgs."""
    await connection.execute("SELECT set_config('wepeople.across_orgs', %s, true)", [purpose])


def named_queries(package: str, file: str) -> dict[str, str]:
    """The statements of a SQL file by name; each stands under a line `-- name: the_name`."""
    queries: dict[str, list[str]] = {}
    current: list[str] | None = None
    for line in files(package).joinpath(file).read_text().splitlines():
        if line.startswith("-- name: "):
            current = queries.setdefault(line.removeprefix("-- name: ").strip(), [])
        elif current is not None:
            current.append(line)
    return {name: "\n".join(lines).strip() for name, lines in queries.items()}


def schema_files(package: str) -> Sequence[tuple[str, str]]:
    """A schema package's SQL files as (name, text), in the order in which they are applied: `003_x.sql` and then, once
    nothing needs the old state, `003_x.post.sql`.
    """
    found = [f for f in files(package).iterdir() if f.name.endswith(".sql")]
    return [(f.name, f.read_text()) for f in sorted(found, key=lambda f: (f.name.split(".")[0], f.name.count(".")))]
