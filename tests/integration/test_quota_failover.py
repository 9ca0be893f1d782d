"""Two processes of quota: one answers, the other takes over, and never do both."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.fresh import Fresh
from tests.support.nats_users import nats_as
from tests.support.quota_pair import Pair, answers, quota_pair, verdicts
from tests.support.quotas import Asker, asker, charged, new_message_id, quota_process, until
from tests.support.stored import store
from wepeople_chassis.broker import connect
from wepeople_chassis.rpc import Unavailable
from wepeople_contracts.quota import Granted, Seen
from wepeople_contracts.subjects import STREAMS, lease_subject
from wepeople_quota.bucket import OVERWRITTEN, Bucket

TAKE_OVER_SECONDS = 5.0
UNITS = 5


@pytest.fixture
async def pair(fresh: Fresh, tmp_path: Path) -> AsyncIterator[Pair]:
    async with quota_pair(
        fresh.nats_url, lambda: quota_process(fresh.nats_url, fresh.dsn("quota"), tmp_path)
    ) as running:
        yield running


async def test_of_two_processes_that_are_ready_one_answers(pair: Pair) -> None:
    for _ in range(5):
        assert [verdict.epoch for verdict in await verdicts(pair.ask.connection, 0.2)] == [1]


async def test_a_standby_takes_over_soon_after_a_kill_and_knows_everything_that_is_stored(pair: Pair) -> None:
    message = charged(4, ["evt_r"])
    sequence = await store(pair.ask.connection, message)
    await (await pair.owner()).kill()
    killed = time.monotonic()
    verdict = await pair.granted()
    assert time.monotonic() - killed < TAKE_OVER_SECONDS
    assert verdict.epoch == 2
    seen = await pair.ask.reserve(message.message_id)
    assert isinstance(seen, Seen)
    assert seen.sequence == sequence
    named = await pair.ask.reserve(new_message_id(), 0, event_ids=["evt_r"])
    assert isinstance(named, Granted)
    assert named.units == 0
    assert (await pair.ask.usage()).used == 4


async def test_an_owner_that_stops_in_order_hands_over_without_leaving_a_request_unanswered(pair: Pair) -> None:
    epochs: list[int] = []
    stopped = asyncio.Event()

    async def ask_on() -> None:
        while not stopped.is_set() or epochs[-1] == 1:
            verdict = await asyncio.wait_for(pair.ask.reserve(new_message_id()), 1)
            assert isinstance(verdict, Granted)
            epochs.append(verdict.epoch)

    asking = asyncio.gather(*(ask_on() for _ in range(8)))
    await until(lambda: _longer_than(epochs, 500))
    assert await (await pair.owner()).stop() == 0
    stopped.set()
    await asking
    assert epochs == sorted(epochs)
    assert set(epochs) == {1, 2}


@pytest.mark.slow
async def test_an_owner_that_was_frozen_is_silent_when_it_wakes_and_takes_over_again_later(pair: Pair) -> None:
    frozen = await pair.owner()
    frozen.child.signal(signal.SIGSTOP)
    late = [asyncio.create_task(verdicts(pair.ask.connection, 9)) for _ in range(5)]
    frozen_at = time.monotonic()
    assert (await pair.granted()).epoch == 2
    assert time.monotonic() - frozen_at < TAKE_OVER_SECONDS
    frozen.child.signal(signal.SIGCONT)
    for _ in range(20):
        assert [verdict.epoch for verdict in await verdicts(pair.ask.connection, 0.05)] == [2]
    for asked_while_it_was_frozen in late:
        assert await asked_while_it_was_frozen == []
    await (await pair.owner()).kill()
    assert (await pair.granted()).epoch == 3
    assert await pair.owner() is frozen


async def test_an_owner_answers_on_whatever_the_server_is_made_to_write_over_its_lease(
    fresh: Fresh, pair: Pair
) -> None:
    """A gateway that was taken over names the lease as the place of JetStream's answer."""
    owner = await pair.owner()
    gateway = await connect(nats_as("gateway", fresh.nats_url), "try-gateway")
    try:
        for call in ("STREAM.INFO.INGEST", "STREAM.MSG.GET.INGEST") * 20:
            await gateway.publish(f"$JS.API.{call}", b'{"seq":999999}', reply=lease_subject(STREAMS[0]))
            await gateway.flush()
            await asyncio.sleep(0.05)
    finally:
        await gateway.close()
    await until(lambda: _owned(pair))
    assert await pair.owner() is owner
    assert (await pair.granted()).epoch == 1
    assert len(await answers(pair.ask.connection, "rpc.quota.ready", b"", 0.3)) == 2


async def _owned(pair: Pair) -> bool:
    return (await Bucket(pair.ask.connection, STREAMS[0]).read()).owner != OVERWRITTEN


@dataclass
class Admitted:
    """What clients were granted, by when they asked and were answered, and what they stored."""

    verdicts: list[tuple[float, float, int]] = field(default_factory=list)
    stored_units: list[int] = field(default_factory=list)

    def most_within_a_second(self, *epochs: int) -> int:
        """Verdicts that were surely decided within one second: asked and answered in it."""
        found = [(asked, answered) for asked, answered, epoch in self.verdicts if epoch in epochs]
        return max(sum(a >= begin and b < begin + 1 for a, b in found) for begin, _ in found)


async def send_until_the_month_is_full(client: Asker, month: int, rate: int, admitted: Admitted) -> None:
    while True:
        message_id, asked = new_message_id(), time.monotonic()
        try:
            reserving = client.reserve(message_id, UNITS, month_limit=month, key_limit=rate)
            verdict = await asyncio.wait_for(reserving, 1)
        except (Unavailable, TimeoutError):
            await asyncio.sleep(0.05)
            continue
        if not isinstance(verdict, Granted):
            await asyncio.sleep(0.02)
            continue
        admitted.verdicts.append((asked, time.monotonic(), verdict.epoch))
        if verdict.units == 0:
            return
        await store(client.connection, charged(verdict.units, message_id=message_id))
        admitted.stored_units.append(verdict.units)


@pytest.mark.parametrize("end", ["kill", "stop"])
async def test_what_a_fail_over_admits_too_much_is_bounded(fresh: Fresh, pair: Pair, end: str) -> None:
    month, rate, tasks = 3000, 200, 8
    admitted = Admitted()
    async with asyncio.timeout(60), asker(fresh.nats_url) as one, asker(fresh.nats_url) as other:
        clients = [client for client in (one, other) for _ in range(tasks)]
        sending = asyncio.gather(*(send_until_the_month_is_full(c, month, rate, admitted) for c in clients))
        await until(lambda: _longer_than(admitted.stored_units, 250))
        owner = await pair.owner()
        await (owner.kill() if end == "kill" else owner.stop())
        await sending
    assert {epoch for _, _, epoch in admitted.verdicts} == {1, 2}
    # The month: what was in flight. Each of the tasks had one request.
    assert month <= sum(admitted.stored_units) <= month + len(clients) * UNITS
    # The rate: exact while one owner lives, one window more when another takes over.
    assert admitted.most_within_a_second(1) <= rate
    assert admitted.most_within_a_second(2) <= rate
    assert admitted.most_within_a_second(1, 2) <= 2 * rate


async def _longer_than(found: Sequence[int], count: int) -> bool:
    return len(found) > count
