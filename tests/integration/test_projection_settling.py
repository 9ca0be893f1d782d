"""Parked rows are somebody's decision: retried as if they came now, with what waited behind them, or skipped."""

from collections.abc import AsyncIterator

import pytest

from tests.support.engines import Commits, Ground, ground_of
from tests.support.fresh import Fresh
from tests.support.poisoned import ORG, decide, events, mended, parked, request
from tests.support.read_models import eventually
from tests.support.stored import founded, store_bytes
from tests.support.tally import POISON, UNFIT, OrderedTally, Tally
from wepeople_contracts.subjects import ingest_subject
from wepeople_projections.running.job import Job
from wepeople_projections.running.options import RunOptions
from wepeople_projections.running.settling import ROWS_AT_ONCE, settle_decided


@pytest.fixture
async def ground(fresh: Fresh) -> AsyncIterator[Ground]:
    async with ground_of(fresh) as ground:
        yield ground


async def test_a_parked_row_that_is_retried_after_it_was_mended_is_applied_by_the_running_engine(
    ground: Ground,
) -> None:
    tally = await ground.create(Tally)
    await ground.store(founded(ORG), request((POISON, "w1"), (UNFIT, "w1"), (POISON, "w2")))
    await ground.build(tally)

    async with ground.running(ground.engine(mended(Tally))):
        for row in (0, 1):
            await decide(ground, "retry", schema="tally_v1", sequence=2, row=row)
        await decide(ground, "skip", schema="tally_v1", sequence=2, row=2)
        await eventually(
            lambda: parked(ground),
            lambda found: found == [(2, 0, "applied", 1), (2, 1, "applied", 1), (2, 2, "skipped", 0)],
            within_seconds=10,
        )
        assert await events(ground) == [(2, "cured"), (2, "fitted")]
        assert len(await ground.rows("SELECT FROM tally_v1.person")) == 1
        await ground.reached("tally_v1", await ground.store(request(("a", "w1"))), within_seconds=5)


@pytest.mark.parametrize("kind", [POISON, UNFIT])
async def test_a_retry_that_fails_again_is_counted_and_leaves_no_trace(ground: Ground, kind: str) -> None:
    tally = await ground.create(Tally)
    await ground.store(founded(ORG), request(("a", "w1"), (kind, "w2")))
    await ground.build(tally)
    await decide(ground, "retry", schema="tally_v1", sequence=2, row=1)

    await settle_decided(Job(tally, "tally_v1", ground.connection, ground.pool, RunOptions(), Commits()))

    assert await parked(ground) == [(2, 1, "parked", 1)]
    assert len(await ground.rows("SELECT FROM tally_v1.person")) == 1


async def test_a_whole_message_is_retried_with_all_its_rows(ground: Ground) -> None:
    tally = await ground.create(Tally)
    at = await ground.store(request(("a", "w1"), (POISON, "w1"), ("b", "w2")))
    await ground.store(founded(ORG))
    await ground.build(tally)
    assert await parked(ground) == [(at, -1, "parked", 0)]
    await decide(ground, "retry", schema="tally_v1", sequence=at, row=-1)

    await settle_decided(Job(tally, "tally_v1", ground.connection, ground.pool, RunOptions(), Commits()))

    assert await parked(ground) == [(at, -1, "applied", 1), (at, 1, "parked", 0)]
    assert await events(ground) == [(at, "a"), (at, "b")]


async def test_in_an_ordered_projection_a_workers_later_rows_wait_and_go_in_order_once_the_first_is_applied(
    ground: Ground,
) -> None:
    schema = "ordered_tally_v1"
    tally = await ground.create(OrderedTally)
    await ground.store(founded(ORG), request(("begin", "w1")), request((POISON, "w1"), ("a", "w2"), ("end", "w1")))
    await ground.store(request(("begin", "w1")), request(("b", "w2"), ("end", "w1"), ("begin", "w1")))
    await ground.build(tally, schema)
    assert [(s, r, status) for s, r, status, _ in await parked(ground, schema)] == [
        (3, 0, "parked"),
        (3, 2, "waiting"),
        (4, 0, "waiting"),
        (5, 1, "waiting"),
        (5, 2, "waiting"),
    ]
    assert await events(ground, schema) == [(2, "begin"), (3, "a"), (5, "b")]

    async with ground.running(ground.engine(mended(OrderedTally), schema)):
        await decide(ground, "retry", schema=schema, sequence=3, row=0)
        await eventually(
            lambda: parked(ground, schema),
            lambda found: {status for _, _, status, _ in found} == {"applied"},
            within_seconds=10,
        )
        await ground.reached(schema, await ground.store(request(("end", "w1"))), within_seconds=5)

    assert await ground.rows(f"SELECT * FROM {schema}.busy") == []
    counted = await ground.rows(f"SELECT event_type, sum(events) AS n FROM {schema}.count GROUP BY 1 ORDER BY 1")
    assert {row["event_type"]: row["n"] for row in counted} == {"a": 1, "b": 1, "begin": 3, "cured": 1, "end": 3}


async def test_in_an_ordered_projection_the_followers_stop_at_the_next_row_that_cannot_be_applied(
    ground: Ground,
) -> None:
    schema = "ordered_tally_v1"
    tally = await ground.create(OrderedTally)
    await ground.store(founded(ORG), request((POISON, "w1"), ("a", "w1"), (UNFIT, "w1"), ("b", "w1")))
    await ground.build(tally, schema)
    await decide(ground, "skip", schema=schema, sequence=2, row=0)

    await settle_decided(Job(tally, schema, ground.connection, ground.pool, RunOptions(), Commits()))

    assert await parked(ground, schema) == [
        (2, 0, "skipped", 0),
        (2, 1, "applied", 1),
        (2, 2, "parked", 1),
        (2, 3, "waiting", 0),
    ]


async def test_in_an_ordered_projection_a_parked_message_makes_its_org_wait_until_it_is_settled(
    ground: Ground,
) -> None:
    schema = "ordered_tally_v1"
    tally = await ground.create(OrderedTally)
    await ground.store(founded(ORG), founded("org_b"))
    await store_bytes(ground.connection, ingest_subject(ORG, "app", "events"), b"\xff", "m1")
    await ground.store(request(("a", "w1")), request(("b", "w2"), ("c", "w1")), request(("d", "w1"), org="org_b"))
    await ground.build(tally, schema)
    assert await events(ground, schema) == [(6, "d")]

    await decide(ground, "skip", schema=schema, sequence=3, row=-1)
    await settle_decided(Job(tally, schema, ground.connection, ground.pool, RunOptions(), Commits()))

    assert await events(ground, schema) == [(4, "a"), (5, "b"), (5, "c"), (6, "d")]
    assert {status for _, _, status, _ in await parked(ground, schema)} == {"skipped", "applied"}


async def test_more_followers_than_go_into_one_transaction_all_go(ground: Ground) -> None:
    schema = "ordered_tally_v1"
    tally = await ground.create(OrderedTally)
    waiting = [("x", "w1")] * (2 * ROWS_AT_ONCE + 50)
    await ground.store(founded(ORG), request((POISON, "w1"), *waiting), request(("b", "w2"), ("c", "w1")))
    await ground.build(tally, schema)
    await decide(ground, "skip", schema=schema, sequence=2, row=0)

    await settle_decided(Job(tally, schema, ground.connection, ground.pool, RunOptions(), Commits()))

    statuses = [status for _, _, status, _ in await parked(ground, schema)]
    assert statuses == ["skipped"] + ["applied"] * (len(waiting) + 1)
    assert len(await events(ground, schema)) == len(waiting) + 2


async def test_what_waits_cannot_be_retried_before_what_it_waits_for(ground: Ground) -> None:
    schema = "ordered_tally_v1"
    tally = await ground.create(OrderedTally)
    await ground.store(founded(ORG), request((POISON, "w1"), ("a", "w1"), ("b", "w1")))
    await ground.build(tally, schema)
    await decide(ground, "retry", schema=schema, sequence=2, row=2)

    await settle_decided(Job(tally, schema, ground.connection, ground.pool, RunOptions(), Commits()))

    assert await parked(ground, schema) == [(2, 0, "parked", 0), (2, 1, "waiting", 0), (2, 2, "waiting", 0)]
    assert await events(ground, schema) == []
