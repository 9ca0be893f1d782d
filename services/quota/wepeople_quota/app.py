"""Builds quota from its parts, runs it, and hands over and saves what it counted when it stops."""

import asyncio
import os
import secrets
import socket
import time
from collections.abc import Mapping
from contextlib import suppress

from nats.aio.client import Client

from wepeople_chassis.broker import BROKER_DOWN, close, connect, serve_ready, wait_for_stop_signal
from wepeople_chassis.logging import configure_logging, get_logger
from wepeople_chassis.ops import Ops, nats_answers, start_ops, stream_answers
from wepeople_chassis.postgres import Pool, database_answers, make_pool
from wepeople_chassis.stream import StreamState, state_of
from wepeople_chassis.tasks import end
from wepeople_contracts.subjects import PARTITIONS
from wepeople_quota.bucket import Bucket, Entry
from wepeople_quota.fold import Fold
from wepeople_quota.lease import Lease
from wepeople_quota.ledger import Ledger
from wepeople_quota.metrics import EPOCH, LAG_MESSAGES, OWNER, RESERVATIONS, UNSAVED_MESSAGES
from wepeople_quota.owner import Owner
from wepeople_quota.ownership import Ownership
from wepeople_quota.patience import patiently
from wepeople_quota.saving import Saving
from wepeople_quota.serve import Desk, now
from wepeople_quota.settings import QuotaSettings
from wepeople_quota.shard import Shard
from wepeople_quota.shards import Shards, settled_state, settled_states
from wepeople_quota.sharing import SharingOut
from wepeople_quota.store import Saved, Store
from wepeople_quota.window import Windows

log = get_logger(__name__)

_STOP_SECONDS = 4.0
_DRAIN_SECONDS = 1.5
_SWEEP_SECONDS = 5.0


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
    saved = await patiently(store.load)
    asked_at_ns = time.time_ns()
    streams = await patiently(lambda: settled_states(connection))
    remember_seconds = max(stream.duplicate_window_seconds for stream in streams)
    ledgers = _ledgers(settings, remember_seconds, saved)
    windows = Windows()
    # Leases live on the connection that brings the requests: whoever cannot be asked loses them.
    rpc = await connect(settings.nats, "quota-rpc")
    desks = {partition: Desk(rpc, partition, Owner(ledger, windows)) for partition, ledger in ledgers.items()}
    name = _unique_name()
    by_stream: dict[str, Shard] = {}

    def make_shard(stream: StreamState) -> Shard:
        async def others() -> list[Entry]:
            return await asyncio.gather(*(Bucket(rpc, other).read() for other in by_stream if other != stream.name))

        fold = Fold(connection, stream, ledgers)
        epochs = [one.epoch for partition, one in saved.items() if partition in stream.partitions]
        lease = Lease(
            Bucket(rpc, stream.name),
            name,
            answers_for=lambda: ownership.answers_for(),  # noqa: PLW0108 - it is made with the lease
            others=others,
            above_epoch=max(epochs, default=0),
        )
        ownership = Ownership(
            rpc, stream.name, lease=lease, fold=fold, desks=desks, look=lambda: settled_state(rpc, stream.name)
        )
        saving = Saving(store, fold, lease)
        _let_see(ops, stream.name, lease, fold, connection)
        return Shard(stream.name, fold, lease, ownership, saving, remember_seconds, settings.save_seconds)

    shards = Shards(connection, make_shard, by_stream)
    shards.settle(streams, asked_at_ns=asked_at_ns)
    tasks = [
        asyncio.create_task(part)
        for part in (
            shards.live(),
            SharingOut(rpc, name, by_stream).live(),
            _say_ready(rpc, shards, ops),
            _sweep(windows),
        )
    ]
    try:
        await _first_failure(tasks)
    except asyncio.CancelledError:
        # Nothing is given to this process any more, and the folds go on while the last requests in flight are stored.
        await end(tasks)
        await shards.leave()
        raise
    finally:
        await end(tasks)
        await shards.end()
        await _drain(rpc)


def _ledgers(settings: QuotaSettings, remember_seconds: float, saved: Mapping[int, Saved]) -> dict[int, Ledger]:
    """One for each partition, with what was saved of it."""
    ledgers = {}
    for partition in range(PARTITIONS):
        ledger = Ledger(reservation_seconds=settings.reservation_seconds, remember_seconds=remember_seconds)
        if (left := saved.get(partition)) is not None:
            ledger.count.restore(left.identity, left.position, left.units, left.charged)
            ledger.recalls_ids = False
        ledgers[partition] = ledger
    return ledgers


def _let_see(ops: Ops, stream: str, lease: Lease, fold: Fold, connection: Client) -> None:
    """What the ops server looks at."""
    OWNER.labels(stream).set_function(lambda: lease.epoch() is not None)
    EPOCH.labels(stream).set_function(lambda: lease.epoch() or 0)
    RESERVATIONS.labels(stream).set_function(lambda: sum(one.reservations for one in fold.ledgers.values()))
    UNSAVED_MESSAGES.labels(stream).set_function(lambda: max(one.count.unsaved for one in fold.ledgers.values()))

    async def measure_lag() -> None:
        end = (await state_of(connection, stream)).last_sequence
        LAG_MESSAGES.labels(stream).set(max(end - fold.through, 0))

    ops.measure(measure_lag, LAG_MESSAGES.labels(stream))


async def _say_ready(connection: Client, shards: Shards, ops: Ops) -> None:
    """A standby is ready too, if the owner lives."""
    await shards.somebody_answers()
    await serve_ready(connection, "quota")
    ops.works()


async def _first_failure(tasks: list[asyncio.Task[None]]) -> None:
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    for task in done:
        task.result()


def _unique_name() -> str:
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


async def _drain(connection: Client) -> None:
    with suppress(*BROKER_DOWN):
        async with asyncio.timeout(_DRAIN_SECONDS):
            await connection.drain()


async def _sweep(windows: Windows) -> None:
    while True:
        await asyncio.sleep(_SWEEP_SECONDS)
        windows.drop_idle(now().monotonic_ns)
