"""Engines in this process, and what their tests ask of the tables."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from nats.aio.client import Client
from psycopg import AsyncConnection

from tests.support.fresh import Fresh
from tests.support.read_models import eventually, query
from tests.support.stored import store
from wepeople_chassis.broker import NatsAddress, connect
from wepeople_chassis.postgres import Pool, make_pool
from wepeople_chassis.stream import takers
from wepeople_chassis.tasks import end
from wepeople_contracts.directory import DirectoryFact
from wepeople_contracts.envelope import Envelope
from wepeople_projections import Projection
from wepeople_projections.definition.projection import Definition, define
from wepeople_projections.folding.position import Position
from wepeople_projections.postgres.about import About
from wepeople_projections.postgres.ddl import create_schema, tables_sha256
from wepeople_projections.running.engine import Engine
from wepeople_projections.running.options import RunOptions

RUNTIME_TABLES = ("orgs", "identifiers", "named_events")


@dataclass(slots=True)
class Commits:
    """An `Observer` that remembers what it was told: (partition, sequence, rows, pending)."""

    told: list[tuple[int, int, int, int]] = field(default_factory=list)

    async def committed(self, partition: int, position: Position, rows: int, pending: int) -> None:
        self.told.append((partition, position.sequence, rows, pending))


@dataclass(frozen=True, slots=True)
class Ground:
    """A stream and a database in which projections can be run."""

    connection: Client
    pool: Pool
    dsn: str
    admin_dsn: str
    nats_url: str

    async def store(self, *messages: Envelope | DirectoryFact) -> int:
        """Store messages; the sequence of the last one."""
        return await store(self.connection, *messages)

    async def create(self, projection: type[Projection], schema: str | None = None) -> Definition:
        """Make the schema of a projection."""
        definition = define(projection)
        about = About(
            name=definition.name,
            version=definition.version,
            source="tests",
            code_sha256="",
            tables_sha256=tables_sha256(definition),
            ordered=definition.ordered,
        )
        async with await AsyncConnection.connect(self.dsn) as connection:
            await create_schema(connection, definition, schema or definition.schema, about)
        return definition

    def engine(
        self, definition: Definition, schema: str | None = None, commits: Commits | None = None, **options: Any
    ) -> Engine:
        """An engine that does not run yet."""
        chosen = RunOptions(**options)
        return Engine(definition, schema or definition.schema, self.connection, self.pool, chosen, commits or Commits())

    async def build(self, definition: Definition, schema: str | None = None, **options: Any) -> None:
        """Run up to what the stream holds now."""
        ends = {partition: stream.last_sequence for partition, stream in (await takers(self.connection)).items()}
        chosen: dict[str, Any] = {"until": ends, "gives_way": False} | options
        async with asyncio.timeout(60):
            await self.engine(definition, schema, **chosen).run()

    @asynccontextmanager
    async def running(self, engine: Engine) -> AsyncIterator[asyncio.Task[None]]:
        """Run an engine beside the test."""
        task = asyncio.create_task(engine.run())
        try:
            yield task
        finally:
            await end([task])

    async def rows(self, statement: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """The rows of a statement, as the superuser sees them."""
        return await query(self.admin_dsn, statement, parameters)

    async def contents(self, definition: Definition, schema: str | None = None) -> dict[str, list[str]]:
        """Every row that a projection made of the stream, as text in a fixed order."""
        found = {}
        for table in (*RUNTIME_TABLES, *(spec.name for spec in definition.tables)):
            rows = await self.rows(f"SELECT t::text AS row FROM {schema or definition.schema}.{table} t ORDER BY 1")
            found[table] = [row["row"] for row in rows]
        return found

    async def positions(self, schema: str) -> dict[int, int]:
        """How far every partition is."""
        rows = await self.rows(f"SELECT partition, sequence FROM {schema}.checkpoint")
        return {row["partition"]: row["sequence"] for row in rows}

    async def reached(self, schema: str, sequence: int, *, within_seconds: float = 30.0) -> None:
        """Wait until the message at this sequence is applied."""
        await eventually(
            lambda: self.rows(f"SELECT FROM {schema}.checkpoint WHERE message_sequence >= {sequence}"),
            bool,
            within_seconds=within_seconds,
            what=f"message {sequence} applied",
        )


@asynccontextmanager
async def ground_of(fresh: Fresh, who: str = "projector") -> AsyncIterator[Ground]:
    """Connect to a fresh system."""
    connection = await connect(NatsAddress(fresh.nats_url), "tests")
    pool = make_pool(fresh.dsn(who), "tests", max_size=8)
    await pool.open()
    try:
        yield Ground(connection, pool, fresh.dsn(who), fresh.admin_dsn, fresh.nats_url)
    finally:
        await pool.close()
        await connection.close()
