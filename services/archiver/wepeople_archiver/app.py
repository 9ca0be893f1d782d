"""Puts the archiver together and runs it."""

import asyncio
import time

from nats.aio.client import Client

from wepeople_archive.archive import Archive
from wepeople_archive.errors import ArchiveError, StorageAway
from wepeople_archive.names import FOUNDED
from wepeople_archive.opening import open_archive
from wepeople_archive.store import refuse_overwriting
from wepeople_archiver.archiving import StreamArchiver, patiently
from wepeople_archiver.gathering import Limits
from wepeople_archiver.metrics import LAG_MESSAGES, LAG_SECONDS, WAITING_BYTES
from wepeople_archiver.settings import ArchiverSettings
from wepeople_chassis.broker import BROKER_DOWN, close, connect, serve_ready, wait_for_stop_signal
from wepeople_chassis.logging import configure_logging, get_logger
from wepeople_chassis.ops import Check, Ops, nats_answers, start_ops, stream_answers
from wepeople_chassis.stream import StreamError, StreamMoved, taking_streams
from wepeople_chassis.tasks import run_together

log = get_logger(__name__)

SERVICE = "archiver"
AGAIN_SECONDS = 0.5


async def run(settings: ArchiverSettings) -> None:
    """Run until SIGTERM; `SystemExit` with one plain line when it cannot go on."""
    configure_logging(SERVICE, settings.log_level)
    ops = await start_ops(SERVICE, settings)
    try:
        await run_together(asyncio.create_task(wait_for_stop_signal()), asyncio.create_task(archive(settings, ops)))
    except (StreamError, *BROKER_DOWN) as error:
        raise SystemExit(f"The archiver cannot go on: {str(error) or repr(error)}") from error
    finally:
        ops.ends()
        await ops.stop()
    log.info("stopped")


async def archive(settings: ArchiverSettings, ops: Ops) -> None:
    """Archive every stream; raises what makes that impossible."""
    connection = await connect(settings.nats, f"wepeople-{SERVICE}")
    try:
        ops.check("nats", nats_answers(connection))
        ops.check("jetstream", stream_answers(connection))
        kept = open_archive(settings)
        ops.check("storage", _storage_answers(kept))
        await patiently(lambda: refuse_overwriting(kept.store))
        await _all_streams(connection, kept, settings, ops)
    finally:
        await close(connection)


async def _all_streams(connection: Client, kept: Archive, settings: ArchiverSettings, ops: Ops) -> None:
    limits = Limits(
        file_bytes=settings.archive_file_bytes,
        file_messages=settings.archive_file_messages,
        file_seconds=settings.archive_file_seconds,
        waiting_bytes=settings.archive_waiting_bytes,
    )
    working: list[StreamArchiver] = []
    _let_see(ops, working)
    is_ready = False
    while True:
        try:
            states = await taking_streams(connection)
            working[:] = [StreamArchiver(connection, kept, state, limits) for state in states]
            if not is_ready:
                await serve_ready(connection, SERVICE)
                ops.works()
                is_ready = True
            await run_together(*(asyncio.create_task(one.run()) for one in working))
        except StreamMoved as moved:
            log.info("streams_changed", what=str(moved))
        except BROKER_DOWN as error:
            if connection.is_closed:
                raise
            log.warning("stream_away", error=repr(error))
        await asyncio.sleep(AGAIN_SECONDS)


def _let_see(ops: Ops, working: list[StreamArchiver]) -> None:
    """What the ops server looks at."""

    async def measure() -> None:
        waiting = [gathered for one in working for gathered in one.waiting]
        oldest = min((g.messages[0].stored_at_ns for g in waiting if g.messages), default=None)
        WAITING_BYTES.set(sum(g.size for g in waiting))
        LAG_MESSAGES.set(sum(one.pending for one in working) + sum(len(g.messages) for g in waiting))
        LAG_SECONDS.set(0 if oldest is None else max(time.time() - oldest / 1e9, 0))

    ops.measure(measure, WAITING_BYTES, LAG_MESSAGES, LAG_SECONDS)


def _storage_answers(kept: Archive) -> Check:
    async def ask() -> str | None:
        try:
            await kept.store.read(FOUNDED)
        except StorageAway:
            return "does not answer"
        except ArchiveError as error:
            return str(error)
        return None

    return ask
