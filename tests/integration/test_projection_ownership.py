"""Several processes run one projection: each partition has one writer, and none is left alone for long."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from psycopg import AsyncConnection, OperationalError

from tests.support.engine_process import EngineProcess, EngineSettings
from tests.support.engines import Ground, ground_of
from tests.support.fresh import Fresh
from tests.support.random_history import random_history
from tests.support.read_models import eventually
from tests.support.stored import envelope, founded, raw
from tests.support.tally import Tally
from wepeople_projections.running.ownership import Ownership, member_count, session_connection, wait_or_lose

TAKE_OVER_SECONDS = 5.0


@pytest.fixture
async def ground(fresh: Fresh) -> AsyncIterator[Ground]:
    async with ground_of(fresh) as ground:
        yield ground


class Processes:
    """Engines of one projection, as processes."""

    def __init__(self, ground: Ground, directory: Path) -> None:
        self._settings = EngineSettings(nats_url=ground.nats_url, dsn=ground.dsn, projection="Tally", schema="tally_v1")
        self._directory = directory
        self.running: list[EngineProcess] = []

    def start(self) -> EngineProcess:
        process = EngineProcess(self._settings, self._directory / f"engine-{len(self.running)}.log")
        self.running.append(process)
        return process


@pytest.fixture
def processes(ground: Ground, tmp_path: Path) -> Iterator[Processes]:
    started = Processes(ground, tmp_path)
    yield started
    for process in started.running:
        process.kill()


async def owned(ground: Ground) -> list[int]:
    """How many partitions each member holds, in ascending order."""
    rows = await ground.rows(
        "SELECT count(*) FILTER (WHERE mode = 'ExclusiveLock') AS held FROM pg_locks WHERE locktype = 'advisory'"
        " AND objsubid = 2 AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        " GROUP BY pid ORDER BY 1"
    )
    return [row["held"] for row in rows]


async def expect_shares(ground: Ground, *shares: int, within_seconds: float) -> None:
    await eventually(
        lambda: owned(ground),
        lambda found: found == list(shares),
        within_seconds=within_seconds,
        what=f"partitions shared as {shares}",
    )


async def test_a_partition_is_taken_by_one_only_and_free_once_its_owner_is_gone(ground: Ground) -> None:
    async with session_connection(ground.pool) as first:
        one = Ownership(first, "tally_v1")
        await one.join()
        assert await one.take(range(16), 16) == set(range(16))
        async with session_connection(ground.pool) as second:
            two = Ownership(second, "tally_v1")
            await two.join()
            assert await member_count(second, "tally_v1") == 2
            assert await two.take(range(16), 16) == set()
            assert {await one.share_of(16), await two.share_of(16)} == {8}
            await one.release(3)
            assert await two.take(range(16), 16) == {3}
            await first.close()
            assert await eventually(lambda: two.take(range(16), 16), bool, what="the other's partitions")
            assert await two.share_of(16) == 16


async def test_schemas_do_not_share_partitions(ground: Ground) -> None:
    async with session_connection(ground.pool) as first, session_connection(ground.pool) as second:
        assert await Ownership(first, "tally_v1").take([5], 1) == {5}
        assert await Ownership(second, "tally_v2").take([5], 1) == {5}


async def test_the_loss_of_the_connection_is_noticed_at_once(ground: Ground) -> None:
    async with session_connection(ground.pool) as connection:
        waiting = asyncio.create_task(wait_or_lose(connection, 60.0))
        await asyncio.sleep(0)
        await ground.rows("SELECT pg_terminate_backend(%(pid)s)", {"pid": connection.info.backend_pid})
        with pytest.raises(OperationalError):
            async with asyncio.timeout(2):
                await waiting


async def test_a_process_that_joins_gets_its_share_and_one_that_is_killed_leaves_it(
    ground: Ground, processes: Processes
) -> None:
    await ground.create(Tally)
    first = processes.start()
    await expect_shares(ground, 16, within_seconds=20)

    processes.start()
    await eventually(lambda: owned(ground), lambda found: len(found) == 2, within_seconds=20, what="a second member")
    await expect_shares(ground, 8, 8, within_seconds=TAKE_OVER_SECONDS)
    processes.start()
    await eventually(lambda: owned(ground), lambda found: len(found) == 3, within_seconds=20, what="a third member")
    await expect_shares(ground, 5, 5, 6, within_seconds=TAKE_OVER_SECONDS)

    first.kill()
    await expect_shares(ground, 8, 8, within_seconds=TAKE_OVER_SECONDS)


async def test_what_is_stored_for_a_killed_process_is_applied_by_another_within_five_seconds(
    ground: Ground, processes: Processes
) -> None:
    await ground.create(Tally)
    history = random_history(3, 40)
    killed = processes.start()
    await ground.reached("tally_v1", await ground.store(*history))
    processes.start()
    await expect_shares(ground, 8, 8, within_seconds=20)

    killed.kill()
    begun = time.monotonic()
    orgs = [f"org_{n}" for n in range(32)]
    row = raw({"eventType": "deploy.shipped", "category": "code", "actor": {"externalId": "e"}})
    last = await ground.store(*map(founded, orgs), *(envelope(org, [row]) for org in orgs))
    assert last == len(history) + 64

    await eventually(
        lambda: ground.rows("SELECT FROM tally_v1.seen WHERE org_id LIKE 'org\\__' OR org_id LIKE 'org\\___'"),
        lambda found: len(found) == 32,
        within_seconds=TAKE_OVER_SECONDS - (time.monotonic() - begun),
        what="all 32 events",
    )


async def test_a_process_that_loses_its_lock_connection_goes_on_by_a_new_one(ground: Ground) -> None:
    tally = await ground.create(Tally)
    engine = ground.engine(tally)
    async with ground.running(engine):
        await ground.reached("tally_v1", await ground.store(*random_history(4, 20)))
        async with await AsyncConnection.connect(ground.admin_dsn, autocommit=True) as admin:
            await admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        await ground.reached("tally_v1", await ground.store(*random_history(5, 20)))


async def test_a_paused_projection_is_owned_by_nobody_and_goes_on_when_it_is_resumed(ground: Ground) -> None:
    tally = await ground.create(Tally)
    async with ground.running(ground.engine(tally)):
        before = await ground.store(*random_history(6, 20))
        await ground.reached("tally_v1", before)
        async with await AsyncConnection.connect(ground.dsn, autocommit=True) as connection:
            await connection.execute("UPDATE tally_v1.about SET paused = true")
            await expect_shares(ground, within_seconds=TAKE_OVER_SECONDS)
            last = await ground.store(*random_history(7, 20))
            assert last not in (await ground.positions("tally_v1")).values()

            await connection.execute("UPDATE tally_v1.about SET paused = false")
            await ground.reached("tally_v1", last, within_seconds=TAKE_OVER_SECONDS)
