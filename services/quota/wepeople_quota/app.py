"""Builds quota from its parts, runs it, and saves what it counted when it stops."""

import asyncio
import gc
import os
import secrets
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from faststream.nats import NatsBroker
from nats.aio.client import Client
from psycopg import OperationalError

from wepeople_chassis.broker import BROKER_DOWN, close, connect, serve_ready, wait_for_stop_signal
from wepeople_chassis.logging import configure_logging, get_logger
from wepeople_chassis.ops import Ops, nats_answers, start_ops, stream_answers
from wepeople_chassis.postgres import Pool, database_answers, make_pool
from wepeople_chassis.rpc_server import make_broker
from wepeople_chassis.stream import StreamError, check_position, state_of
from wepeople_chassis.tasks import end
from wepeople_contracts.subjects import STREAMS
from wepeople_quota.bucket import Bucket
from wepeople_quota.fold import Fold
from wepeople_quota.lease import Lease
from wepeople_quota.ledger import Ledger
from wepeople_quota.metrics import EPOCH, LAG_MESSAGES, OWNER, RESERVATIONS, UNSAVED_MESSAGES
from wepeople_quota.owner import Owner
from wepeople_quota.ownership import Ownership
from wepeople_quota.saving import Saving
from wepeople_quota.serve import Desk, now
from wepeople_quota.settings import QuotaSettings
from wepeople_quota.store import Fenced, Store
from wepeople_quota.window import Windows

log = get_logger(__name__)

_RETRY_SECONDS = 0.5
_STOP_SECONDS = 4.0
_DRAIN_SECONDS = 1.5
_SWEEP_SECONDS = 5.0

T = TypeVar("T")


async def serve(settings: QuotaSettings) -> None:
    """Run until a stop signal; `StreamError`, `Fenced` or `DatabaseWentBack` when it must not go on."""
    configure_logging("quota", settings.log_level)
    ops = await start_ops("quota", settings)
    working = asyncio.create_task(_connect_and_work(settings, ops))
    stopping = asyncio.create_task(wait_for_stop_signal())
    await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    working.cancel()
    ops.ends()
    await asyncio.wait((working,), timeout=_STOP_SECONDS)
    await ops.stop()
    if not working.done():
        # psycopg waits for a Postgres that hangs even when it is cancelled. Nothing is lost: the stream has it.
        log.warning("stopped_without_saving")
        os._exit(0)
    with suppress(asyncio.CancelledError):
        working.result()


async def _connect_and_work(settings: QuotaSettings, ops: Ops) -> None:
    pool = make_pool(settings.postgres_dsn.get_secret_value(), "quota", max_size=2)
    try:
        await pool.open()
        # The stream has a connection of its own: its megabytes must not stand in the way of verdicts.
        connection = await connect(settings.nats, "quota-stream")
        try:
            ops.check("nats", nats_answers(connection))
            ops.check("jetstream", stream_answers(connection))
            ops.check("postgres", database_answers(pool))
            await _work(settings, pool, connection, ops)
        finally:
            await close(connection)
    finally:
        await pool.close(_DRAIN_SECONDS)


async def _work(settings: QuotaSettings, pool: Pool, connection: Client, ops: Ops) -> None:
    store = Store(pool)
    saved = await _patiently(store.load)
    stream = await _patiently(lambda: state_of(connection, STREAMS[0]))
    remember_seconds = stream.duplicate_window_seconds
    ledger = Ledger(reservation_seconds=settings.reservation_seconds, remember_seconds=remember_seconds)
    fold = Fold(connection, ledger, stream)
    if saved is not None:
        check_position(stream, after=saved.position.sequence, identity=saved.identity)
        ledger.count.restore(saved.position, saved.units, saved.charged)
        await _patiently(lambda: fold.recall(remember_seconds=remember_seconds))
    log.info("standby", after=ledger.position.sequence, until=stream.last_sequence)
    windows = Windows()
    broker = make_broker(settings.nats, "quota-rpc", apply_types=False)
    # The lease lives on the connection that brings the requests: whoever cannot be asked loses it.
    rpc = await broker.connect()
    await broker.start()
    lease = Lease(Bucket(rpc), _unique_name(), above_epoch=saved.epoch if saved else 0)
    desk = Desk(broker, Owner(ledger, windows), lease)
    ownership = Ownership(rpc, lease, fold, ledger, desk)
    saving = Saving(store, ledger.count, lease, stream.identity)
    _let_see(ops, lease, ledger, connection)

    async def answer() -> None:
        await fold.reach(stream.last_sequence)
        # What was built so far is never garbage: a collection must not walk through it while a verdict waits.
        gc.freeze()
        await ownership.live()

    tasks = [
        asyncio.create_task(part)
        for part in (
            fold.follow(),
            answer(),
            _say_ready(rpc, lease, ops),
            saving.keep(settings.save_seconds),
            _sweep(windows),
        )
    ]
    try:
        await _first_failure(tasks)
    except asyncio.CancelledError:
        # The fold goes on while the last requests in flight are stored.
        await _leave(lease, ownership, saving)
        raise
    finally:
        await end(tasks)
        await _stop(broker)


def _let_see(ops: Ops, lease: Lease, ledger: Ledger, connection: Client) -> None:
    """What the ops server looks at."""
    OWNER.set_function(lambda: lease.epoch() is not None)
    EPOCH.set_function(lambda: lease.epoch() or 0)
    RESERVATIONS.set_function(lambda: ledger.reservations)
    UNSAVED_MESSAGES.set_function(lambda: ledger.position.sequence - ledger.count.saved_sequence)

    async def measure_lag() -> None:
        end = (await state_of(connection, STREAMS[0])).last_sequence
        LAG_MESSAGES.set(max(end - ledger.position.sequence, 0))

    ops.measure(measure_lag, LAG_MESSAGES)


async def _say_ready(connection: Client, lease: Lease, ops: Ops) -> None:
    """A standby is ready too, if the owner lives."""
    await lease.somebody_answers.wait()
    await serve_ready(connection, "quota")
    ops.works()


async def _first_failure(tasks: list[asyncio.Task[None]]) -> None:
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    for task in done:
        task.result()


async def _leave(lease: Lease, ownership: Ownership, saving: Saving) -> None:
    epoch = lease.epoch()
    if epoch is None:
        return
    try:
        await ownership.hand_over()
    except (StreamError, *BROKER_DOWN) as error:
        log.warning("not_handed_over", error=repr(error))
    try:
        await saving.once(epoch)
    except (Fenced, OperationalError) as error:
        log.warning("not_saved", error=str(error))


def _unique_name() -> str:
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


async def _stop(broker: NatsBroker) -> None:
    with suppress(*BROKER_DOWN):
        async with asyncio.timeout(_DRAIN_SECONDS):
            await broker.stop()


async def _sweep(windows: Windows) -> None:
    while True:
        await asyncio.sleep(_SWEEP_SECONDS)
        windows.drop_idle(now().monotonic_ns)


async def _patiently(action: Callable[[], Awaitable[T]]) -> T:
    """Repeat until NATS and Postgres are there."""
    while True:
        try:
            return await action()
        except (OperationalError, *BROKER_DOWN) as error:
            log.warning("waiting", error=str(error) or repr(error))
            await asyncio.sleep(_RETRY_SECONDS)
