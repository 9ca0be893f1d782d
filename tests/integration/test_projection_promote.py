"""Versions side by side: promoted, rolled back and rebuilt, while readers read."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from psycopg import AsyncConnection

from tests.support.analyst import DEPLOYS, Analyst, analyst_of, built, deploy, promoted
from tests.support.fresh import Fresh, renew_stream
from tests.support.read_models import eventually
from tests.support.stored import envelope, founded, store
from wepeople_chassis.tasks import end

SECOND = DEPLOYS.replace("version = 1", "version = 2").replace(
    "deploys: Sum[int]", "deploys: Sum[int]\n    teams: Sum[int] = 0"
)
READ_EVERY_SECONDS = 0.002
STORE_EVERY_SECONDS = 0.1
"""Neither takes the processor away from what is tested."""


@pytest.fixture
async def analyst(fresh: Fresh, tmp_path: Path) -> AsyncIterator[Analyst]:
    """With two requests of three deploys each."""
    async with analyst_of(fresh, tmp_path) as ready:
        await ready.store(2)
        yield ready


class Reader:
    """Reads what is served, over and over, by a connection that stays."""

    def __init__(self, dsn: str) -> None:
        self.seen: list[int] = []
        self._dsn = dsn
        self.task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async with await AsyncConnection.connect(self._dsn, autocommit=True) as connection:
            while True:
                cursor = await connection.execute("SELECT coalesce(sum(deploys), 0)::int FROM deploys.per_service")
                row = await cursor.fetchone()
                assert row is not None
                self.seen.append(row[0])
                await asyncio.sleep(READ_EVERY_SECONDS)

    async def more(self, reads: int) -> None:
        """Wait until it has read so often again; raises what a read has raised."""
        target = len(self.seen) + reads

        async def count() -> int:
            if self.task.done():
                self.task.result()
            return len(self.seen)

        await eventually(count, lambda found: found >= target)


@asynccontextmanager
async def reading(analyst: Analyst) -> AsyncIterator[Reader]:
    """A reader at work; fails if one of its reads failed, or saw less than one before."""
    reader = Reader(analyst.fresh.dsn("operator"))
    try:
        yield reader
        assert not reader.task.done(), reader.task.exception()
        assert reader.seen == sorted(reader.seen)
    finally:
        await end([reader.task])


@asynccontextmanager
async def storing(analyst: Analyst) -> AsyncIterator[None]:
    """Events keep coming."""

    async def store_on() -> None:
        while True:
            await analyst.store(1)
            await asyncio.sleep(STORE_EVERY_SECONDS)

    task = asyncio.create_task(store_on())
    try:
        yield
        assert not task.done(), task.exception()
    finally:
        await end([task])


async def test_promote_refuses_what_is_not_proved_or_is_behind_and_says_what_to_do(analyst: Analyst) -> None:
    await built(analyst, [analyst.write()])
    unproved = await analyst.projection("promote", "deploys")
    assert (unproved.code, "wepeople projection verify deploys 1" in unproved.stderr) == (1, True)
    assert await analyst.rows("SELECT to_regnamespace('deploys') AS it") == [{"it": None}]


async def test_a_version_that_is_behind_is_not_promoted(analyst: Analyst) -> None:
    file = analyst.write()
    async with analyst.running("run", file):
        await analyst.counted(6)
    assert (await analyst.projection("verify", "deploys")).code == 0
    await analyst.store(2)
    behind = await analyst.projection("promote", "deploys")
    assert (behind.code, "2 messages behind" in behind.stderr) == (1, True)
    async with analyst.running("run", file):
        assert (await analyst.projection("promote", "deploys")).code == 0
    alone = await analyst.projection("promote", "deploys")
    assert "see deploys_v1 already" in alone.stdout


@pytest.mark.slow
async def test_readers_see_no_error_and_nothing_older_while_versions_change_places(analyst: Analyst) -> None:
    first, second = analyst.write(), analyst.write(SECOND, "second.py")
    async with analyst.running("run", first), analyst.running("run", second), storing(analyst):
        await analyst.counted_at_least(12)
        await analyst.counted_at_least(12, "deploys_v2")
        await promoted(analyst, 1)
        async with reading(analyst) as reader:
            await reader.more(20)
            await promoted(analyst, 2)
            await reader.more(20)
            back = await analyst.projection("promote", "deploys", "1")
            assert back.code == 0, back.stderr
            await reader.more(20)
            assert (await analyst.projection("promote", "deploys_v2")).code == 0
            await reader.more(20)
        assert reader.seen[-1] > reader.seen[0]
    [served] = await analyst.rows("SELECT count(*) AS n FROM deploys.per_service WHERE teams = 0")
    assert served["n"] == 3


@pytest.mark.slow
async def test_readers_see_no_error_and_nothing_older_while_the_version_they_see_is_rebuilt(analyst: Analyst) -> None:
    file = analyst.write()
    async with analyst.running("run", file), storing(analyst):
        await analyst.counted_at_least(12)
        await promoted(analyst, 1)
        async with reading(analyst) as reader:
            await reader.more(20)
            for _ in range(2):
                rebuilt = await analyst.projection("rebuild", "deploys")
                assert rebuilt.code == 0, rebuilt.stderr
                await reader.more(20)
        await analyst.counted_at_least(reader.seen[-1] + 30)
    assert (await analyst.projection("verify", "deploys")).code == 0
    schemas = await analyst.rows("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'deploys%%' ORDER BY 1")
    assert [line["nspname"] for line in schemas] == ["deploys", "deploys_v1"]


async def test_a_rebuild_puts_right_what_is_wrong(analyst: Analyst) -> None:
    await built(analyst, [analyst.write()])
    await analyst.rows("DELETE FROM deploys_v1.per_service WHERE service = 'web' RETURNING 1")
    assert (await analyst.projection("rebuild", "deploys")).code == 0
    assert await analyst.deploys() == {"api": 2, "web": 2, "jobs": 2}


async def test_a_rebuild_that_was_interrupted_goes_on_and_readers_notice_nothing(analyst: Analyst) -> None:
    await analyst.store_much(1_500)
    await built(analyst, [analyst.write()])
    await promoted(analyst, 1)
    before = await analyst.deploys()
    async with analyst.running("rebuild", "deploys") as running:
        await eventually(
            lambda: analyst.rows("SELECT to_regclass('deploys_v1_rebuild.checkpoint') AS it"), lambda f: f[0]["it"]
        )
        await eventually(lambda: analyst.rows("SELECT FROM deploys_v1_rebuild.checkpoint WHERE rows > 0"), bool)
        interrupted = await running.interrupt()
    assert interrupted.code == 130
    assert "goes on where this one stopped" in interrupted.stderr
    assert await analyst.deploys() == before
    assert (await analyst.projection("rebuild", "deploys")).code == 0
    assert await analyst.deploys() == before
    assert (await analyst.projection("verify", "deploys")).code == 0


async def test_a_rebuild_stops_on_poison_unless_it_is_told_to_park_it_and_keeps_what_was_skipped(
    analyst: Analyst,
) -> None:
    skipped = await store(analyst.connection, envelope(analyst.org_id, [deploy(None)]))
    poison = await store(analyst.connection, envelope(analyst.org_id, [deploy("api"), deploy(None)]))
    async with analyst.running("run", analyst.write()):
        await analyst.counted(7)
        assert (await analyst.projection("parked", "skip", "deploys", str(skipped))).code == 0
    stopped = await analyst.projection("rebuild", "deploys")
    assert (stopped.code, f"row 1 of message {poison}" in stopped.stderr) == (1, True)
    assert "--on-poison park" in stopped.stderr
    rebuilt = await analyst.projection("rebuild", "deploys", "--on-poison", "park")
    assert rebuilt.code == 0, rebuilt.stderr
    decided = (await analyst.projection("parked", "list", "deploys", "--all", "--json")).json
    assert [(line["sequence"], line["status"]) for line in decided] == [(skipped, "skipped"), (poison, "parked")]


async def test_a_rebuild_from_a_stream_that_was_made_anew_has_what_that_one_has(analyst: Analyst) -> None:
    file = analyst.write()
    await analyst.store(5)
    async with analyst.running("run", file):
        await analyst.counted(21)
    await renew_stream(analyst.connection)
    await store(analyst.connection, founded(analyst.org_id))
    await analyst.store(1)
    refused = await analyst.projection("run", file)
    assert (refused.code, "rebuild" in refused.stderr) == (1, True)
    rebuilt = await analyst.projection("rebuild", "deploys")
    assert rebuilt.code == 0, rebuilt.stderr
    assert sum((await analyst.deploys()).values()) == 3
    async with analyst.running("run", file):
        await analyst.store(1)
        await analyst.counted(6)


async def test_a_promotion_waits_for_a_reader_in_the_middle_of_something(analyst: Analyst) -> None:
    await built(analyst, [analyst.write(), analyst.write(SECOND, "second.py")])
    await promoted(analyst, 1)
    assert (await analyst.projection("verify", "deploys", "2")).code == 0
    async with await AsyncConnection.connect(analyst.fresh.dsn("operator")) as reader:
        await reader.execute("SELECT * FROM deploys.per_service")
        async with analyst.running("promote", "deploys", "2") as running:
            waits = "SELECT FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'"
            await eventually(lambda: analyst.rows(waits), bool)
            await eventually(lambda: analyst.rows(waits), lambda found: not found)
            await reader.commit()
            ended = await running.ended()
    assert ended.code == 0, ended.stderr


async def test_the_version_that_serves_is_not_dropped_by_mistake(analyst: Analyst) -> None:
    await built(analyst, [analyst.write()])
    await promoted(analyst, 1)
    refused = await analyst.projection("drop", "deploys", "1")
    assert (refused.code, "Readers see deploys_v1" in refused.stderr) == (1, True)
    assert (await analyst.projection("drop", "deploys", "1", "--serving")).code == 0
    assert await analyst.rows("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'deploys%%'") == []


async def test_a_part_of_the_stream_does_not_take_the_place_of_the_whole_unless_that_is_taken_away(
    analyst: Analyst,
) -> None:
    last = await analyst.store(1)
    await built(analyst, [analyst.write()], to=last)
    part = analyst.write(SECOND, "second.py")
    assert (await analyst.projection("run", part, "--type", "deploy.shipped", "--to", str(last))).code == 0
    await promoted(analyst, 1)
    assert (await analyst.projection("verify", "deploys", "2")).code == 0
    refused = await analyst.projection("promote", "deploys", "2")
    assert (refused.code, "has only a part of the stream" in refused.stderr) == (1, True)
    assert (await analyst.projection("drop", "deploys_v1", "--serving")).code == 0
    assert (await analyst.projection("promote", "deploys", "2")).code == 0


async def test_a_version_that_was_made_of_another_stream_is_not_promoted(analyst: Analyst) -> None:
    file = analyst.write()
    async with analyst.running("run", file):
        await analyst.counted(6)
    assert (await analyst.projection("verify", "deploys")).code == 0
    await renew_stream(analyst.connection)
    refused = await analyst.projection("promote", "deploys")
    assert (refused.code, "a stream that is not there any more" in refused.stderr) == (1, True)
