"""A projector process on a fresh database, and what its tests ask of it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from nats.aio.client import Client

from tests.support.nats_users import nats_environment
from tests.support.read_models import eventually, query
from tests.support.stored import store
from wepeople_chassis.broker import NatsAddress, connect
from wepeople_contracts.directory import DirectoryFact
from wepeople_contracts.envelope import Envelope
from wepeople_embedded.services import ServiceProcess

TABLES = (
    "orgs",
    "workers",
    "identifiers",
    "identity_conflicts",
    "timeline",
    "named_events",
    "latest_snapshots",
    "requests",
    "rejects",
    "parked",
)
COLUMNS = {"parked": "sequence, row_index, org_id, worker_id, status, reason"}
"""Where not all of a table is made from the stream alone: when something was parked is not."""


class Projecting:
    """The read models' side of a system: a stream to store messages in, and a projector that follows it."""

    def __init__(self, connection: Client, admin_dsn: str, process: ServiceProcess) -> None:
        self.connection = connection
        self.admin_dsn = admin_dsn
        self.process = process

    async def store(self, *messages: Envelope | DirectoryFact) -> int:
        """Store messages; the sequence of the last one."""
        return await store(self.connection, *messages)

    async def applied(self, sequence: int, *, within_seconds: float = 30.0) -> None:
        """Wait until the message at this sequence is applied."""
        await eventually(
            lambda: self.rows("SELECT FROM live_v1.checkpoint WHERE message_sequence >= %(at)s", at=sequence),
            bool,
            within_seconds=within_seconds,
            what=f"message {sequence} applied",
        )

    async def stored_and_applied(self, *messages: Envelope | DirectoryFact) -> int:
        """Store messages of one org and wait until the last is applied; its sequence."""
        sequence = await self.store(*messages)
        await self.applied(sequence)
        return sequence

    async def connected(self) -> bool:
        """Whether the tests' own connection to NATS stands."""
        return self.connection.is_connected

    async def rows(self, statement: str, **parameters: Any) -> list[dict[str, Any]]:
        """The rows of a statement, as the superuser sees them."""
        return await query(self.admin_dsn, statement, parameters)

    async def tables(self) -> dict[str, list[str]]:
        """Every row of every table, as text in a fixed order."""
        found = {}
        for table in TABLES:
            columns = COLUMNS.get(table, "*")
            rows = await self.rows(f"SELECT t::text AS row FROM (SELECT {columns} FROM live_v1.{table}) t ORDER BY 1")
            found[table] = [row["row"] for row in rows]
        return found


def projector_process(
    nats_url: str, projector_dsn: str, directory: Path, name: str = "projector", **settings: str
) -> ServiceProcess:
    """A projector that was not started yet."""
    own = nats_environment("projector", nats_url) | {"WEPEOPLE_POSTGRES_DSN": projector_dsn} | settings
    return ServiceProcess("projector", own, directory / f"{name}.log")


@asynccontextmanager
async def running_projector(
    nats_url: str, projector_dsn: str, admin_dsn: str, directory: Path
) -> AsyncIterator[Projecting]:
    """Start a projector and wait until it is ready; killed at the end, whatever the test did to it."""
    connection = await connect(NatsAddress(nats_url), "tests")
    process = projector_process(nats_url, projector_dsn, directory)
    process.start()
    try:
        await process.wait_ready(connection)
        yield Projecting(connection, admin_dsn, process)
    finally:
        await process.kill()
        await connection.close()
