"""Quota while Postgres or NATS is away, and when both come later than it."""

import asyncio
from collections.abc import AsyncIterator

import psutil
import pytest

from tests.support.quota_ground import Ground
from tests.support.quota_pair import quota_pair, verdicts
from tests.support.quotas import Asker, asker, charged, new_message_id, until
from tests.support.stored import store
from wepeople_chassis.broker import BROKER_DOWN
from wepeople_chassis.rpc import Unavailable
from wepeople_contracts.ids import new_id
from wepeople_contracts.quota import Granted
from wepeople_embedded.services import ServiceProcess
from wepeople_quota.lease import LEASE_SECONDS


@pytest.fixture(scope="module")
async def ground(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ground]:
    ground = Ground(tmp_path_factory.mktemp("quota-ground"))
    await ground.start()
    yield ground
    await ground.stop()


@pytest.fixture
async def process(ground: Ground) -> AsyncIterator[ServiceProcess]:
    process = ground.quota()
    process.start()
    yield process
    await process.kill()


@pytest.fixture
async def ask(ground: Ground, process: ServiceProcess) -> AsyncIterator[Asker]:
    async with asker(ground.nats.url) as client:
        await process.wait_ready(client.connection)
        yield client


async def test_verdicts_and_counting_go_on_without_postgres_and_are_saved_when_it_is_back(
    ground: Ground, process: ServiceProcess, ask: Asker
) -> None:
    org = new_id("org")
    await ground.postgres.kill()
    try:
        for _ in range(20):
            assert isinstance(await ask.reserve(new_message_id(), org_id=org), Granted)
        await store(ask.connection, charged(3, org_id=org))
        await until(lambda: _is_used(ask, org, 3))
    finally:
        await ground.postgres.start()
    await until(lambda: _is_saved(ground, org, 3), seconds=20)
    assert process.child.is_running


async def test_a_postgres_that_hangs_holds_up_neither_verdicts_nor_the_stop(
    ground: Ground, process: ServiceProcess, ask: Asker
) -> None:
    postmaster = psutil.Process(ground.postgres.child.pid)
    hung = [postmaster, *postmaster.children(recursive=True)]
    for one in hung:
        one.suspend()
    try:
        assert isinstance(await ask.reserve(new_message_id()), Granted)
        assert await process.stop(timeout_seconds=5) == 0
    finally:
        for one in hung:
            one.resume()


async def test_verdicts_and_counting_go_on_after_nats_was_killed(
    ground: Ground, process: ServiceProcess, ask: Asker
) -> None:
    org = new_id("org")
    await store(ask.connection, charged(3, org_id=org))
    await until(lambda: _is_used(ask, org, 3))
    held = new_message_id()
    await ask.reserve(held, 5, org_id=org)
    await ground.nats.kill()
    await ground.nats.start()
    await until(lambda: _is_stored(ask, org))
    await until(lambda: _is_used(ask, org, 7))
    assert (await ask.usage(org)).reserved == 5
    assert process.child.is_running


async def test_the_lease_survives_a_nats_that_was_killed_and_one_process_answers(ground: Ground) -> None:
    async with quota_pair(ground.nats.url, ground.quota) as pair:
        owner, before = await pair.owner(), await pair.granted()
        for _ in range(2):
            await ground.nats.kill()
            await ground.nats.start()
            assert (await pair.granted()).epoch == before.epoch
            for _ in range(5):
                assert len(await verdicts(pair.ask.connection, 0.1)) == 1
        assert await pair.owner() is owner


@pytest.mark.slow
async def test_an_owner_cut_off_for_longer_than_its_lease_answers_again_or_another_does_but_never_both(
    ground: Ground,
) -> None:
    async with quota_pair(ground.nats.url, ground.quota) as pair:
        before = await pair.granted()
        await ground.nats.kill()
        await asyncio.sleep(LEASE_SECONDS + 0.5)
        await ground.nats.start()
        assert (await pair.granted()).epoch >= before.epoch
        for _ in range(20):
            assert len(await verdicts(pair.ask.connection, 0.1)) == 1


@pytest.mark.slow
async def test_a_standby_takes_over_without_postgres_and_saves_when_it_is_back(ground: Ground) -> None:
    org = new_id("org")
    async with quota_pair(ground.nats.url, ground.quota) as pair:
        before = await pair.granted()
        await ground.postgres.kill()
        try:
            await store(pair.ask.connection, charged(3, ["evt_r"], org_id=org))
            await (await pair.owner()).kill()
            assert (await pair.granted(within_seconds=5)).epoch == before.epoch + 1
            await until(lambda: _is_used(pair.ask, org, 3))
        finally:
            await ground.postgres.start()
        await until(lambda: _is_saved(ground, org, 3), seconds=20)


@pytest.mark.slow
async def test_quota_waits_for_servers_that_come_later(ground: Ground) -> None:
    await ground.stop()
    process = ground.quota()
    process.start()
    try:
        assert await process.child.wait(3) is None
        await ground.nats.start()
        assert await process.child.wait(2) is None
        await ground.postgres.start()
        async with asker(ground.nats.url) as client:
            await process.wait_ready(client.connection)
            assert isinstance(await client.reserve(new_message_id()), Granted)
    finally:
        await process.kill()


async def _is_used(ask: Asker, org: str, units: int) -> bool:
    try:
        return (await ask.usage(org)).used == units
    except Unavailable:
        return False


async def _is_stored(ask: Asker, org: str) -> bool:
    try:
        await store(ask.connection, charged(4, org_id=org, message_id=f"once-{org}"))
    except BROKER_DOWN:
        return False
    return True


async def _is_saved(ground: Ground, org: str, units: int) -> bool:
    return await ground.saved_units(org) == units
