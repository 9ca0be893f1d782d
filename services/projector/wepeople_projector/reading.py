"""What the command line reads of the read models, as the operator."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import dict_row

from wepeople_chassis.operator import Operator, fail
from wepeople_chassis.postgres import named_queries, own_names_only
from wepeople_chassis.postgres_address import reading_at, servers_of
from wepeople_contracts.directory import normalize_email

_SQL = named_queries(__package__, "reading.sql")
_CONNECT_SECONDS = 3

Row = dict[str, Any]


@asynccontextmanager
async def read_models(operator: Operator) -> AsyncIterator[AsyncConnection[Row]]:
    """A connection for one command, to the read replica if there is one that answers; exit 1 in plain words when
    Postgres does not answer or refuses.
    """
    dsn = operator.postgres_dsn
    if operator.read_replica:
        dsn = reading_at(dsn, operator.read_replica)
    address = postgres_address(dsn)
    try:
        async with await connect(dsn) as connection:
            yield connection
    except psycopg.OperationalError as error:
        reason = str(error).strip().splitlines()[0]
        fail(f"Postgres does not answer at {address}: {reason}. Is the system running?", 1)
    except psycopg.Error as error:
        fail(f"Postgres at {address} refused: {error}. Is the schema provisioned, and is this the operator's DSN?", 1)


async def connect(dsn: str) -> AsyncConnection[Row]:
    """Connect for reading; `psycopg.OperationalError` when Postgres does not answer."""
    return await AsyncConnection.connect(
        dsn,
        row_factory=dict_row,
        autocommit=True,
        connect_timeout=_CONNECT_SECONDS,
        options=own_names_only(dsn),
    )


def postgres_address(dsn: str) -> str:
    """Host and port of each server, without the password."""
    return ", ".join(f"{host}:{port}" for host, port in servers_of(dsn))


async def rows(connection: AsyncConnection[Row], query: str, **parameters: Any) -> list[Row]:
    """The rows of a named query, instants as RFC 3339 text."""
    cursor = await connection.execute(_SQL[query], parameters)
    return [{name: _plain(value) for name, value in row.items()} for row in await cursor.fetchall()]


async def find_org(connection: AsyncConnection[Row], org: str) -> str:
    """The id of the org that an id or a name means; exit 1 unless it is just one."""
    found = await rows(connection, "org_candidates", org=org)
    if not found:
        fail(f"No org is known as {org}. `wepeople org list` shows them.", 1)
    if len(found) > 1:
        fail(f"{org} names several orgs; use an id: {', '.join(row['org_id'] for row in found)}.", 1)
    org_id: str = found[0]["org_id"]
    return org_id


async def find_worker(connection: AsyncConnection[Row], worker: str, *, names_of_now: bool = False) -> Row:
    """The org and id of the worker that a worker id, an email or an external id names; exit 1 unless it is just one.

    `names_of_now` is for whoever asks of another time: it is said then that the names are those of now.
    """
    now = " now, which is when names are looked up, whatever --at says" if names_of_now else ""
    found = await rows(connection, "candidates", worker=worker, email=normalize_email(worker))
    if not found:
        fail(f"No worker is known as {worker}{now}. `wepeople worker list ORG` shows an org's workers.", 1)
    if len(found) > 1:
        several = "; ".join(f"{row['worker_id']} of {row['org_id']}" for row in found)
        fail(f"{worker} names several workers{now}; use one's own id: {several}.", 1)
    return found[0]


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
