"""Runs an engine into one schema and shows how far it is."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from nats.aio.client import Client
from psycopg import AsyncConnection
from rich.console import Console

from wepeople_chassis.broker import close, connect
from wepeople_chassis.operator import Operator, operator_connection, stderr
from wepeople_chassis.postgres import Pool, make_pool, own_names_only
from wepeople_chassis.tasks import run_together
from wepeople_projections.definition.projection import Definition
from wepeople_projections.replay.progress import display
from wepeople_projections.replay.tracking import Tracker
from wepeople_projections.running.engine import Engine
from wepeople_projections.running.options import RunOptions

CONNECT_SECONDS = 3
POOL_CONNECTIONS = 4
"""Enough for a replay: what several analysts run together must leave room for the services."""
POOL_CLOSE_SECONDS = 1.0
SERVICE = "projection"


@dataclass(frozen=True, slots=True)
class Workplace:
    """Connections to the stream and to the tables' database, and how progress is shown."""

    stream: Client
    pool: Pool
    console: Console
    as_json: bool


@asynccontextmanager
async def workplace(operator: Operator, dsn: str, *, as_json: bool) -> AsyncIterator[Workplace]:
    """Connect for long work, which outlives restarts of both servers; raises what they do when they are away now."""
    options = own_names_only(dsn)
    async with (
        operator_connection(operator),
        await AsyncConnection.connect(dsn, connect_timeout=CONNECT_SECONDS, options=options),
    ):
        stream = await connect(operator.nats, f"wepeople-{SERVICE}")
    try:
        pool = make_pool(dsn, SERVICE, max_size=POOL_CONNECTIONS)
        await pool.open()
        try:
            yield Workplace(stream, pool, stderr, as_json)
        finally:
            await pool.close(POOL_CLOSE_SECONDS)
    finally:
        await close(stream)


async def build(place: Workplace, definition: Definition, schema: str, options: RunOptions, what: str | None) -> None:
    """Run a projection into its schema until the end that `options` name, or for ever; `what` stands before the bar,
    and where it is None there is none.

    Raises what the engine raises.
    """
    with display(what, place.console, as_json=place.as_json) as shown:
        tracker = Tracker(place.stream, place.pool, schema, options, shown)
        await tracker.begin()
        engine = Engine(definition, schema, place.stream, place.pool, options, tracker)
        try:
            await run_together(asyncio.create_task(engine.run()), asyncio.create_task(tracker.run()))
        finally:
            await tracker.end()
            shown.show(tracker.meter.standing(), done=True)
