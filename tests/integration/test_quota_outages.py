"""Quota while Postgres or NATS is away, and when both come later than it."""

import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
from psycopg import AsyncConnection

from tests.support.quotas import Asker, asker, charged, new_message_id, quota_process, until
from tests.support.stored import store
from wepeople_chassis.broker import BROKER_DOWN
from wepeople_chassis.rpc import Unavailable
from wepeople_contracts.ids import new_id
from wepeople_contracts.quota import Granted
from wepeople_embedded.nats_server import NatsServer
from wepeople_embedded.ports import free_port
from wepeople_embedded.postgres_server import PostgresServer
from wepeople_embedded.services import ServiceProcess
from wepeople_provision.dsn import login_dsn
from wepeople_provision.provision import provision
from wepeople_provision.roles import LOGIN_ROLES


class Ground:
    """Servers of this module alone, which its tests take away and bring back."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._passwords = {role: secrets.token_urlsafe(12) for role in LOGIN_ROLES}
        self.nats = NatsServer(directory / "nats", port=free_port(), log_path=directory / "nats.log")
        self.postgres = PostgresServer(
            directory / "postgres",
            port=free_port(),
            password=secrets.token_urlsafe(16),
            log_path=directory / "postgres.log",
        )

    async def start(self) -> None:
        await self.nats.start()
        await self.postgres.start()
        await provision(self.nats.url, self.postgres.dsn(), self._passwords)

    async def stop(self) -> None:
        await self.nats.stop()
        await self.postgres.stop()

    def quota(self) -> ServiceProcess:
        dsn = login_dsn(self.postgres.dsn(), "wepeople_quota", self._passwords["wepeople_quota"])
        return quota_process(self.nats.url, dsn, self._directory)

    async def saved_units(self, org_id: str) -> int | None:
        async with await AsyncConnection.connect(self.postgres.dsn()) as connection:
            cursor = await connection.execute("SELECT units FROM quota.usage WHERE org_id = %s", (org_id,))
            row = await cursor.fetchone()
            return row[0] if row else None


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
