"""Proofs, rebuilds and promotions beside months that are dropped: what is compared is what is kept."""

import asyncio
from collections.abc import AsyncIterator
from datetime import date
from typing import Any

import pytest
from psycopg import AsyncConnection, errors
from rich.console import Console

from tests.support.engines import Ground, ground_of
from tests.support.fresh import Fresh
from tests.support.monthly import ORG, Monthly, at, drop, happened, pieces
from tests.support.read_models import eventually
from tests.support.stored import founded
from wepeople_projections.commands import promote
from wepeople_projections.commands.load import Loaded
from wepeople_projections.commands.targets import Target, TargetError
from wepeople_projections.definition.month import month_of
from wepeople_projections.definition.projection import Definition
from wepeople_projections.postgres import months
from wepeople_projections.postgres.about import read_about
from wepeople_projections.postgres.months import drop_pieces, kept_from
from wepeople_projections.postgres.row_security import secure_rows
from wepeople_projections.postgres.waiting import wait_at_most
from wepeople_projections.replay import building
from wepeople_projections.replay.building import Workplace
from wepeople_projections.versions import proving, rebuilding
from wepeople_projections.versions.proved import changed_since_proof

SCHEMA = "monthly_v1"
MONTHS = [f"2026-{month:02}-10T00:00:00Z" for month in range(1, 7)]
APRIL, JULY = date(2026, 4, 1), date(2026, 7, 15)


@pytest.fixture
async def ground(fresh: Fresh) -> AsyncIterator[Ground]:
    async with ground_of(fresh) as ground:
        yield ground


@pytest.fixture
async def monthly(ground: Ground) -> Definition:
    """With an event in each month of half a year, of which only those from April on are kept."""
    definition = await ground.create(Monthly)
    await ground.store(founded(ORG), at(*MONTHS))
    await ground.build(definition)
    await drop(ground, definition)
    return definition


def place(ground: Ground) -> Workplace:
    return Workplace(ground.connection, ground.pool, Console(stderr=True), as_json=True)


async def prove(ground: Ground, monthly: Definition) -> proving.Proof:
    proof = await proving.prove(place(ground), monthly, SCHEMA)
    await proving.remember(place(ground), SCHEMA, proof)
    return proof


async def verified(ground: Ground) -> bool:
    return bool(await ground.rows(f"SELECT FROM {SCHEMA}.verified LIMIT 1"))


async def test_a_build_is_equal_that_leaves_out_what_was_dropped(ground: Ground, monthly: Definition) -> None:
    await ground.store(at("2026-03-11T00:00:00Z", "2026-04-11T00:00:00Z"))
    await ground.build(monthly)
    proof = await prove(ground, monthly)

    assert proof.difference is None
    assert proof.snapshot.kept_from == {"happened": APRIL}
    assert proof.snapshot.digests.of_table("happened").rows == 4
    assert proof.snapshot.digests.of_table("per_day").rows == 8, "that one is kept for ever"
    assert await verified(ground)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE {schema}.happened SET event_type = 'x' WHERE event_type = 'm.2026-05'", "event_type is"),
        ("DELETE FROM {schema}.happened WHERE event_type = 'm.2026-06'", "the stream makes it, but it is not there"),
        ('DROP TABLE {schema}."happened 2026-05"', "the stream makes it, but it is not there"),
    ],
)
async def test_what_is_kept_is_compared_row_by_row(ground: Ground, monthly: Definition, change: str, said: str) -> None:
    async with await AsyncConnection.connect(ground.admin_dsn) as admin:
        await admin.execute(change.format(schema=SCHEMA).encode())
    proof = await prove(ground, monthly)

    assert proof.difference is not None
    assert said in proof.difference
    assert not await verified(ground)


async def test_months_that_go_while_a_proof_builds_make_no_difference_but_the_proof_is_not_kept(
    ground: Ground, monthly: Definition, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = building.build

    async def build_and_drop(*arguments: Any) -> None:
        await build(*arguments)
        await drop(ground, monthly, JULY)

    monkeypatch.setattr(proving, "build", build_and_drop)
    proof = await prove(ground, monthly)

    assert proof.difference is None
    assert await pieces(ground) == ["2026-05", "2026-06"]
    assert not await verified(ground), "it was of more rows than there are"


async def test_a_row_that_differs_is_named_though_months_went_meanwhile(
    ground: Ground, monthly: Definition, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ground.rows(f"UPDATE {SCHEMA}.happened SET event_type = 'x' WHERE event_type = 'm.2026-06' RETURNING 1")
    build, builds = building.build, 0

    async def build_and_drop(*arguments: Any) -> None:
        nonlocal builds
        await build(*arguments)
        builds += 1
        if builds == 1:
            await drop(ground, monthly, JULY)

    monkeypatch.setattr(proving, "build", build_and_drop)
    proof = await prove(ground, monthly)

    assert builds == 2
    assert proof.difference is not None
    assert 'event_type is "x", but the stream makes "m.2026-06"' in proof.difference


async def test_no_month_goes_while_a_version_is_looked_at(ground: Ground, monthly: Definition) -> None:
    async with proving.one_moment(place(ground)) as connection:
        await proving.take_snapshot(connection, monthly, SCHEMA)
        async with ground.pool.connection() as other:
            await wait_at_most(other, 0.2)
            with pytest.raises(errors.LockNotAvailable):
                await drop_pieces(other, SCHEMA, {"happened": JULY})


async def test_when_months_go_what_was_proved_before_is_forgotten(ground: Ground, monthly: Definition) -> None:
    await prove(ground, monthly)
    assert await changed_since_proof(place(ground), SCHEMA) is None
    assert await verified(ground)
    await drop(ground, monthly, JULY)
    assert not await verified(ground)


async def test_a_rebuild_has_what_the_old_tables_kept_also_of_what_went_while_it_was_built(
    ground: Ground, monthly: Definition, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = building.build
    built: list[str] = []

    async def build_and_drop(*arguments: Any) -> None:
        await build(*arguments)
        if not built:
            built.extend(await happened(ground, f"{SCHEMA}_rebuild"))
            await drop(ground, monthly, JULY)

    monkeypatch.setattr(rebuilding, "build", build_and_drop)
    await rebuilding.rebuild(place(ground), Loaded(monthly, "tests", ""), SCHEMA, "stop")

    assert built == ["2026-04", "2026-05", "2026-06"]
    assert await happened(ground) == ["2026-05", "2026-06"]
    async with ground.pool.connection() as connection:
        assert await kept_from(connection, SCHEMA) == {"happened": date(2026, 5, 1)}
    monkeypatch.undo()
    assert (await prove(ground, monthly)).difference is None


async def test_a_rebuild_takes_its_place_before_or_after_somebody_makes_months_and_not_meanwhile(
    ground: Ground, monthly: Definition, monkeypatch: pytest.MonkeyPatch
) -> None:
    rebuilds = list[asyncio.Task[int]]()

    async def secure_and_rebuild(connection: AsyncConnection[Any], schema: str) -> None:
        await secure_rows(connection, schema)
        if schema == SCHEMA:
            again = rebuilding.rebuild(place(ground), Loaded(monthly, "tests", ""), SCHEMA, "stop")
            rebuilds.append(asyncio.create_task(again))
            await eventually(
                lambda: ground.rows(f"SELECT FROM pg_locks WHERE NOT granted AND relation = '{SCHEMA}.kept'::regclass"),
                lambda waiting: bool(waiting) or rebuilds[0].done(),
                what="it waits, or did not",
            )

    monkeypatch.setattr(months, "secure_rows", secure_and_rebuild)
    async with ground.pool.connection() as maker:
        await months.make_pieces(maker, SCHEMA, {"happened": {month_of(JULY)}})
    await asyncio.gather(*rebuilds)

    assert len(rebuilds) == 1
    assert await happened(ground) == ["2026-04", "2026-05", "2026-06"]


async def test_who_writes_into_the_new_tables_makes_the_months_that_they_have_not(
    ground: Ground, monthly: Definition
) -> None:
    async with ground.running(ground.engine(monthly)):
        last = await ground.store(at("2026-09-01T00:00:00Z"))
        await ground.reached(SCHEMA, last)
        await ground.rows(f"DELETE FROM {SCHEMA}.happened WHERE event_type = 'm.2026-09' RETURNING 1")
        await rebuilding.rebuild(place(ground), Loaded(monthly, "tests", ""), SCHEMA, "stop")
        async with await AsyncConnection.connect(ground.admin_dsn, autocommit=True) as admin:
            await admin.execute(f'DROP TABLE {SCHEMA}."happened 2026-09"')
        last = await ground.store(at("2026-09-02T00:00:00Z"))
        await ground.reached(SCHEMA, last)

    assert await ground.rows(f"SELECT FROM {SCHEMA}.parked") == []
    assert (await happened(ground))[-1] == "2026-09"


async def test_readers_are_not_shown_a_version_that_lacks_months_which_they_see(
    ground: Ground, monthly: Definition
) -> None:
    await ground.create(Monthly, "monthly_v2")
    await ground.build(monthly, "monthly_v2")
    async with ground.pool.connection() as connection:
        old, new = [Target(schema, await read_about(connection, schema)) for schema in (SCHEMA, "monthly_v2")]
        await drop_pieces(connection, "monthly_v2", {"happened": date(2026, 6, 1)})
    with pytest.raises(TargetError, match=r"up to 2026-05.*--drop-before 2026-06-01"):
        await promote._check_replaces(place(ground), new, old)
    await promote._check_replaces(place(ground), old, new)
