"""`python -m bench.replayer`: one replay in a process of its own; a `ReplaySpec` on stdin, a `ReplayResult` out."""

import asyncio
import gc
import resource
import sys
import time
from collections.abc import Mapping
from typing import Literal

import msgspec
import psycopg
import uvloop
from msgspec import Struct

from wepeople_chassis.broker import NatsAddress, connect
from wepeople_chassis.logging import configure_logging
from wepeople_chassis.postgres import make_pool
from wepeople_projections import Event, Projection, Request, Row, on_event, on_request, table
from wepeople_projections.commands.session import YOUNG_OBJECTS
from wepeople_projections.definition.projection import define
from wepeople_projections.folding.position import Position
from wepeople_projections.postgres.about import About
from wepeople_projections.postgres.ddl import create_schema, tables_sha256
from wepeople_projections.running.engine import Engine
from wepeople_projections.running.options import RunOptions
from wepeople_projector.models.live import Live

What = Literal["requests", "events", "workers", "live"]


class ReplaySpec(Struct, frozen=True, kw_only=True):
    """Which projection is built into a new schema, until which sequence; for ever without one."""

    nats_url: str
    dsn: str
    what: What
    schema: str
    until: int | None


class ReplayResult(Struct, frozen=True, kw_only=True):
    """From the moment that every partition was loaded until the last commit; the process's memory at its most."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int


@table(key=("name",))
class Nothing(Row, frozen=True):
    """A projection has a table; this one stays empty."""

    name: str


class EachRequest(Projection):
    """Takes each request and does nothing."""

    name = "bench"
    version = 1
    tables = (Nothing,)
    resolves_workers = False

    @on_request()
    def request(self, request: Request) -> None:
        """Nothing."""


class EachEvent(Projection):
    """Takes each event and does nothing."""

    name = "bench"
    version = 1
    tables = (Nothing,)
    resolves_workers = False

    @on_event()
    def event(self, event: Event) -> None:
        """Nothing."""


class EachEventOfAWorker(EachEvent):
    """Takes each event with the worker whose it is, and does nothing."""

    resolves_workers = True


PROJECTIONS: Mapping[What, type[Projection]] = {
    "requests": EachRequest,
    "events": EachEvent,
    "workers": EachEventOfAWorker,
    "live": Live,
}


class Clock:
    """When the last commit was."""

    def __init__(self) -> None:
        self.last_at = 0.0

    async def committed(self, partition: int, position: Position, rows: int, pending: int) -> None:
        """Called by the engine."""
        if rows:
            self.last_at = time.monotonic()


async def replay(spec: ReplaySpec) -> ReplayResult:
    """Make the schema, build it."""
    definition = define(PROJECTIONS[spec.what])
    about = About(
        name=definition.name,
        version=definition.version,
        source="bench",
        code_sha256="",
        tables_sha256=tables_sha256(definition),
    )
    async with await psycopg.AsyncConnection.connect(spec.dsn, autocommit=True) as database:
        await create_schema(database, definition, spec.schema, about)
    connection = await connect(NatsAddress(spec.nats_url), "bench-replay")
    pool = make_pool(spec.dsn, "bench-replay", max_size=8)
    await pool.open()
    clock = Clock()
    options = RunOptions() if spec.until is None else RunOptions(until=dict.fromkeys(range(16), spec.until))
    engine = Engine(definition, spec.schema, connection, pool, options, clock)
    running = asyncio.create_task(engine.run())
    await engine.started.wait()
    started_at, cpu_before = time.monotonic(), time.process_time()
    await running
    await pool.close()
    await connection.close()
    return ReplayResult(
        seconds=clock.last_at - started_at,
        cpu_seconds=time.process_time() - cpu_before,
        peak_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    )


if __name__ == "__main__":
    configure_logging("bench", "ERROR")
    # As `wepeople projection run` and the projector do.
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)
    spec = msgspec.json.decode(sys.stdin.buffer.read(), type=ReplaySpec)
    sys.stdout.buffer.write(msgspec.json.encode(uvloop.run(replay(spec))))
