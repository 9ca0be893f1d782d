"""However the stream is cut, by however many processes, whatever is killed: the tables are the same, to the byte."""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from psycopg import AsyncConnection

from tests.support.engine_process import EngineProcess, EngineSettings
from tests.support.engines import Ground, ground_of
from tests.support.fresh import Fresh
from tests.support.random_history import random_history
from tests.support.tally import POISON, UNFIT, OrderedTally, Tally
from wepeople_chassis.stream import state_of
from wepeople_contracts.subjects import STREAMS
from wepeople_projections.definition.projection import Definition
from wepeople_projections.postgres.digest import digests, first_difference, keys_of

ONE_MESSAGE = 1
DRAWN = 0
"""Each process draws a size of its own."""


@pytest.fixture
async def ground(fresh: Fresh) -> AsyncIterator[Ground]:
    async with ground_of(fresh) as ground:
        yield ground


async def put_aside(ground: Ground, schema: str) -> list[str]:
    """What was parked, or waits, or was tried again."""
    columns = "sequence, row_index, org_id, worker_id, status, attempts"
    rows = await ground.rows(f"SELECT ({columns})::text AS row FROM {schema}.parked ORDER BY sequence, row_index")
    return [row["row"] for row in rows]


async def build_by_processes(
    settings: EngineSettings, directory: Path, *, processes: int, kills: int = 0, seed: int = 0
) -> int:
    """Run processes until the end; kill one of them so many times at random, each followed by a new one. How many were
    killed before they were done.
    """
    choose = random.Random(seed)
    log = directory / f"{settings.schema}.log"
    running = [EngineProcess(settings, log) for _ in range(processes)]
    killed = 0
    try:
        async with asyncio.timeout(100):
            while not all(process.ended() for process in running):
                await asyncio.sleep(choose.uniform(0.5, 2.5) if kills else 0.1)
                if kills:
                    kills -= 1
                    victim = running.pop(choose.randrange(len(running)))
                    killed += not victim.ended()
                    victim.kill()
                    running.append(EngineProcess(settings, log))
    finally:
        for process in running:
            process.kill()
    return killed


class Builds:
    """Builds of one stream, each into a schema of its own, all of which must come to the same."""

    def __init__(self, ground: Ground, directory: Path, projection: type[Tally]) -> None:
        self._ground = ground
        self._directory = directory
        self._projection = projection
        self._schemas: list[tuple[Definition, str]] = []

    async def here(self, **options: Any) -> None:
        """By one engine of this process."""
        definition, schema = await self._next()
        await self._ground.build(definition, schema, **options)

    async def by(self, processes: int, *, batch_bytes: int, kills: int = 0, seed: int = 0) -> int:
        """By processes, of which some are killed; how many were."""
        _, schema = await self._next()
        stream = await state_of(self._ground.connection, STREAMS[0])
        settings = EngineSettings(
            nats_url=self._ground.nats_url,
            dsn=self._ground.dsn,
            projection=self._projection.__name__,
            schema=schema,
            until=stream.last_sequence,
            batch_bytes=batch_bytes,
        )
        return await build_by_processes(settings, self._directory, processes=processes, kills=kills, seed=seed)

    async def expect_the_same(self) -> None:
        """Every build has the same rows, by the digest of each table and org, and has put the same aside."""
        (definition, schema), *others = self._schemas
        aside = await put_aside(self._ground, schema)
        assert len(aside) > 5
        async with await AsyncConnection.connect(self._ground.admin_dsn) as connection:
            expected = await digests(connection, schema, keys_of(definition))
            assert all(expected.tables.values()), "every table has rows"
            for definition, built in others:
                found = await digests(connection, built, keys_of(definition))
                assert found == expected, await first_difference(connection, schema, connection, built, definition)
                assert await put_aside(self._ground, built) == aside

    async def _next(self) -> tuple[Definition, str]:
        schema = f"{self._projection.name}_v{len(self._schemas) + 1}"
        definition = await self._ground.create(self._projection, schema)
        self._schemas.append((definition, schema))
        return definition, schema


@pytest.mark.parametrize("projection", [Tally, OrderedTally])
async def test_any_cut_into_batches_makes_the_same_tables(
    ground: Ground, tmp_path: Path, projection: type[Tally]
) -> None:
    await ground.store(*random_history(10, 150, poison=(POISON, UNFIT)))
    builds = Builds(ground, tmp_path, projection)

    await builds.here()
    await builds.here(batch_bytes=ONE_MESSAGE)
    for seed in range(2):
        await builds.here(batch_bytes=random.Random(seed).randrange(100, 40_000))

    await builds.expect_the_same()


@pytest.mark.slow
async def test_processes_that_are_killed_at_any_time_make_the_same_tables(ground: Ground, tmp_path: Path) -> None:
    await ground.store(*random_history(11, 250, poison=(POISON, UNFIT)))
    builds = Builds(ground, tmp_path, OrderedTally)

    await builds.here()
    killed = await builds.by(2, batch_bytes=ONE_MESSAGE, kills=3)
    await builds.by(3, batch_bytes=DRAWN)

    await builds.expect_the_same()
    assert killed


@pytest.mark.slow
@pytest.mark.timeout(500)
@pytest.mark.parametrize("projection", [Tally, OrderedTally])
async def test_a_longer_history_is_built_the_same_whatever_is_killed(
    ground: Ground, tmp_path: Path, projection: type[Tally]
) -> None:
    await ground.store(*random_history(12, 600, poison=(POISON, UNFIT)))
    builds = Builds(ground, tmp_path, projection)

    await builds.here()
    killed = 0
    for seed in range(2):
        for processes in (1, 2, 3):
            killed += await builds.by(processes, batch_bytes=DRAWN, kills=3, seed=seed)
    killed += await builds.by(3, batch_bytes=ONE_MESSAGE, kills=6)

    await builds.expect_the_same()
    assert killed > 6
