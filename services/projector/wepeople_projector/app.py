"""Puts the projector together and runs it."""

import asyncio
import gc

import psycopg

from wepeople_chassis.broker import BROKER_DOWN, close, connect, serve_ready, wait_for_stop_signal
from wepeople_chassis.logging import configure_logging, get_logger
from wepeople_chassis.postgres import make_pool
from wepeople_chassis.settings import load_settings
from wepeople_chassis.stream import StreamError
from wepeople_contracts.subjects import PARTITIONS
from wepeople_projector.answering import RequestDesk
from wepeople_projector.runner import PartitionRunner
from wepeople_projector.settings import ProjectorSettings
from wepeople_projector.tasks import run_together

log = get_logger(__name__)

SERVICE = "projector"
POOL_CONNECTIONS = 8
ANSWERING_CONNECTIONS = 2
POOL_CLOSE_SECONDS = 1.0
YOUNG_OBJECTS = 100_000
"""How many new objects the garbage collector lets pass before it looks: more than a batch makes. The fold makes no
cycles, and at the default of 700 the collector walks every batch in vain, for half of the projector's time."""


async def run() -> None:
    """Run until SIGTERM; `SystemExit` with one plain line when it cannot go on."""
    settings = load_settings(ProjectorSettings)
    configure_logging(SERVICE, settings.log_level)
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)
    try:
        await run_together(asyncio.create_task(wait_for_stop_signal()), asyncio.create_task(project(settings)))
    except (StreamError, psycopg.Error, *BROKER_DOWN) as error:
        raise SystemExit(f"The projector cannot go on: {error}") from error
    log.info("stopped")


async def project(settings: ProjectorSettings) -> None:
    """Keep every partition's read models up to date; raises what makes that impossible."""
    pool = make_pool(settings.postgres_dsn, SERVICE, max_size=POOL_CONNECTIONS)
    await pool.open()
    stream = await connect(settings.nats_url, f"wepeople-{SERVICE}")
    runners = [PartitionRunner(partition, stream, pool) for partition in range(PARTITIONS)]
    answering = asyncio.create_task(_answer(settings, runners))
    try:
        await run_together(answering, *(asyncio.create_task(runner.run()) for runner in runners))
    finally:
        await close(stream)
        await pool.close(POOL_CLOSE_SECONDS)


async def _answer(settings: ProjectorSettings, runners: list[PartitionRunner]) -> None:
    """Answer questions once every runner has begun, by connections of their own, on which no batch is in the way."""
    await asyncio.gather(*(runner.loaded.wait() for runner in runners))
    pool = make_pool(settings.postgres_dsn, SERVICE, max_size=ANSWERING_CONNECTIONS)
    await pool.open()
    connection = await connect(settings.nats_url, f"wepeople-{SERVICE}-answers")
    desk = RequestDesk(connection, pool)
    try:
        await desk.open()
        await serve_ready(connection, SERVICE)
        await asyncio.Event().wait()
    finally:
        await desk.close()
        await close(connection)
        await pool.close(POOL_CLOSE_SECONDS)
