"""What quota's fold of a real stream keeps, and for how long."""

import asyncio
import time

import pytest

from tests.support.fresh import Fresh
from tests.support.quotas import ORG, charged, this_period, until
from tests.support.stored import store
from wepeople_chassis.broker import NatsAddress, connect
from wepeople_chassis.stream import state_of
from wepeople_chassis.tasks import end
from wepeople_contracts.subjects import PARTITIONS, STREAMS, partition_of
from wepeople_quota.count import Position
from wepeople_quota.fold import Fold
from wepeople_quota.ledger import Ledger
from wepeople_quota.month import NANOSECONDS

PARTITION = partition_of(ORG)


def ledgers_of_all(reservation_seconds: float = 30) -> dict[int, Ledger]:
    return {
        partition: Ledger(reservation_seconds=reservation_seconds, remember_seconds=600)
        for partition in range(PARTITIONS)
    }


async def test_reservations_expire_once_the_stream_was_read_past_their_lease(fresh: Fresh) -> None:
    connection = await connect(NatsAddress(fresh.nats_url), "test-fold")
    ledgers = ledgers_of_all(reservation_seconds=0.5)
    fold = Fold(connection, await state_of(connection, STREAMS[0]), ledgers)
    following = asyncio.create_task(fold.follow())
    reserved_at_ns = time.time_ns()
    period, ledger = this_period(), ledgers[PARTITION]
    ledger.reserve(org_id=ORG, message_id="a", units=5, period=period, month_limit=None, now_ns=reserved_at_ns)

    async def is_expired() -> bool:
        asked_at_ns = time.time_ns()
        fold.ends(await state_of(connection, STREAMS[0]), asked_at_ns=asked_at_ns)
        return ledger.usage(ORG, period) == (0, 0)

    try:
        await until(is_expired)
        assert time.time_ns() - reserved_at_ns >= 500_000_000
    finally:
        await end([following])
        await connection.close()


async def test_only_ids_younger_than_the_window_are_recalled_and_nothing_is_counted_twice(
    fresh: Fresh, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = await connect(NatsAddress(fresh.nats_url), "test-fold")
    old, young = charged(1), charged(1)
    await store(connection, old)
    between_ns = time.time_ns()
    sequence = await store(connection, young)
    ledgers, state = ledgers_of_all(), await state_of(connection, STREAMS[0])
    ledger, position = ledgers[PARTITION], Position(sequence, young.message_id, time.time_ns())
    ledger.count.restore(state.identity, position, {(ORG, this_period(), "custom:ci"): 2}, [])
    ledger.recalls_ids = False
    monkeypatch.setattr(time, "time_ns", lambda: between_ns + NANOSECONDS)
    await Fold(connection, state, ledgers).recall(remember_seconds=1)
    monkeypatch.undo()
    await connection.close()
    assert (ledger.seen(old.message_id), ledger.seen(young.message_id)) == (None, sequence)
    assert ledger.usage(ORG, this_period()) == (2, 0)
