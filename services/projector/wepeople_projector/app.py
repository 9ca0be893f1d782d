"""Puts the projector together and runs it."""

import asyncio
import gc
from contextlib import AsyncExitStack

import psycopg
from nats.aio.client import Client

from wepeople_chassis.broker import BROKER_DOWN, close, connect, serve_ready, wait_for_stop_signal
from wepeople_chassis.logging import configure_logging, get_logger
from wepeople_chassis.ops import Ops, nats_answers, start_ops, stream_answers
from wepeople_chassis.postgres import Pool, database_answers, make_pool
from wepeople_chassis.stream import StreamError
from wepeople_chassis.tasks import run_together
from wepeople_projections.commands.load import built_in_sources, load_source
from wepeople_projections.errors import ProjectionError
from wepeople_projections.running.engine import Engine
from wepeople_projections.running.options import RunOptions
from wepeople_projections.running.retention import Retention
from wepeople_projector.announcing import Announcer
from wepeople_projector.answering import RequestDesk
from wepeople_projector.founding import found
from wepeople_projector.measuring import Counting, Measuring
from wepeople_projector.metrics import OVERDUE_MONTHS
from wepeople_projector.settings import ProjectorSettings

log = get_logger(__name__)

SERVICE = "projector"
PROJECTION = "live"
POOL_CONNECTIONS = 8
ANSWERING_CONNECTIONS = 2
POOL_CLOSE_SECONDS = 1.0
SERVING_POLL_SECONDS = 0.5
YOUNG_OBJECTS = 100_000
"""How many new objects the garbage collector lets pass before it looks: more than a batch makes. The fold makes no
cycles, and at the default of 700 the collector walks every batch in vain, for half of the projector's time."""


async def run(settings: ProjectorSettings) -> None:
    """Run until SIGTERM; `SystemExit` with one plain line when it cannot go on."""
    configure_logging(SERVICE, settings.log_level)
    ops = await start_ops(SERVICE, settings)
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)
    try:
        await run_together(asyncio.create_task(wait_for_stop_signal()), asyncio.create_task(project(settings, ops)))
    except (StreamError, ProjectionError, psycopg.Error, *BROKER_DOWN) as error:
        raise SystemExit(f"The projector cannot go on: {_first_line(error)}") from error
    finally:
        await ops.stop()
    log.info("stopped")


def _first_line(error: BaseException) -> str:
    """Postgres adds where in which function it was, and that is no plain line."""
    return (str(error).strip() or repr(error)).splitlines()[0]


async def project(settings: ProjectorSettings, ops: Ops) -> None:
    """Keep this version's read models up to date; raises what makes that impossible."""
    async with AsyncExitStack() as stack:
        pool, stream = await _connect(stack, settings, f"wepeople-{SERVICE}", POOL_CONNECTIONS)
        ops.check("nats", nats_answers(stream))
        live = load_source(built_in_sources()[PROJECTION])
        await found(pool, live)
        observer = Counting(Announcer(stream, lambda: engine.serving))
        engine = Engine(live.definition, live.definition.schema, stream, pool, RunOptions(gives_way=False), observer)
        answering = _answer(settings, engine, live.definition.schema, ops)
        retention = Retention(pool, live.definition, settings.keep_events_days, OVERDUE_MONTHS.set)
        await run_together(*map(asyncio.create_task, (engine.run(), answering, retention.run())))


async def _answer(settings: ProjectorSettings, engine: Engine, schema: str, ops: Ops) -> None:
    """Say that it can work once the engine has begun, and answer questions while this version serves: by connections of
    their own, on which no batch is in the way.
    """
    await engine.started.wait()
    async with AsyncExitStack() as stack:
        pool, connection = await _connect(stack, settings, f"wepeople-{SERVICE}-answers", ANSWERING_CONNECTIONS)
        ops.check("jetstream", stream_answers(connection))
        ops.check("postgres", database_answers(pool))
        Measuring(connection, pool, schema).offer(ops, settings.ready_lag_seconds)
        desk = RequestDesk(connection, pool)
        stack.push_async_callback(desk.close)
        ready = False
        while True:
            await (desk.open() if engine.serving else desk.hush())
            if not ready:
                await serve_ready(connection, SERVICE)
                ops.works()
                ready = True
            await asyncio.sleep(SERVING_POLL_SECONDS)


async def _connect(
    stack: AsyncExitStack, settings: ProjectorSettings, name: str, pool_connections: int
) -> tuple[Pool, Client]:
    """Both servers; what is open is closed with the stack, also when this is cancelled half-way: a pool's workers would
    outlive a single cancellation, and the process with them.
    """
    pool = make_pool(settings.postgres_dsn.get_secret_value(), SERVICE, max_size=pool_connections)
    stack.push_async_callback(pool.close, POOL_CLOSE_SECONDS)
    await pool.open()
    connection = await connect(settings.nats, name)
    stack.push_async_callback(close, connection)
    return pool, connection
