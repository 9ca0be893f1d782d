"""Parked rows are somebody's decision: retried as if they came now, with what waited behind them, or skipped."""

from collections.abc import AsyncIterator, Iterable

import msgspec
import pytest
from psycopg import AsyncConnection

from tests.support.engines import Commits, Ground, ground_of
from tests.support.fresh import Fresh
from tests.support.poisoned import ORG, decide, events, mended, parked, request
from tests.support.read_models import eventually
from tests.support.stored import founded, store_bytes
from tests.support.tally import POISON, UNFIT, OrderedTally, Tally
from wepeople_contracts.subjects import ingest_subject
from wepeople_projections import Event, Operation, on_event
from wepeople_projections.definition.projection import define
from wepeople_projections.running import dues, settling
from wepeople_projections.running.dues import ROWS_AT_ONCE
from wepeople_projections.running.job import Job
from wepeople_projections.running.options import RunOptions
from wepeople_projections.running.settling import settle_decided


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
    waiting = [("x", "w1")] * (ROWS_AT_ONCE - 100)
    await ground.store(founded(ORG), request((POISON, "w1"), *waiting), request(*waiting))
    await ground.store(request(("b", "w2"), ("c", "w1")))
    await ground.build(tally, schema)
    await decide(ground, "skip", schema=schema, sequence=2, row=0)

    await settle_decided(Job(tally, schema, ground.connection, ground.pool, RunOptions(), Commits()))

    statuses = [status for _, _, status, _ in await parked(ground, schema)]
    assert statuses == ["skipped"] + ["applied"] * (2 * len(waiting) + 1)
    assert len(await events(ground, schema)) == 2 * len(waiting) + 2


async def test_what_waits_cannot_be_retried_before_what_it_waits_for(ground: Ground) -> None:
    schema = "ordered_tally_v1"
    tally = await ground.create(OrderedTally)
    await ground.store(founded(ORG), request((POISON, "w1"), ("a", "w1"), ("b", "w1")))
    await ground.build(tally, schema)
    await decide(ground, "retry", schema=schema, sequence=2, row=2)

    await settle_decided(Job(tally, schema, ground.connection, ground.pool, RunOptions(), Commits()))

    assert await parked(ground, schema) == [(2, 0, "parked", 0), (2, 1, "waiting", 0), (2, 2, "waiting", 0)]
    assert await events(ground, schema) == []


async def test_what_postgres_refuses_among_many_is_found_and_the_others_are_applied(ground: Ground) -> None:
    tally = await ground.create(Tally)
    rows = [(UNFIT if n % 10 == 3 else POISON, f"w{n % 4}") for n in range(40)]
    await ground.store(founded(ORG), request(*rows[:25]), request(*rows[25:]))
    await ground.build(tally)
    assert len(await parked(ground)) == 40
    await decide_all(ground, "retry", "tally_v1")

    class Half(Tally):
        """Takes poison, and still has what Postgres refuses."""

        @on_event()
        def happened(self, event: Event) -> Iterable[Operation]:
            cured = "cured" if event.event_type == POISON else event.event_type
            return list(super().happened(msgspec.structs.replace(event, event_type=cured)))

    await settle_decided(Job(define(Half), "tally_v1", ground.connection, ground.pool, RunOptions(), Commits()))

    found = await parked(ground)
    assert [status for _, _, status, _ in found] == ["parked" if kind == UNFIT else "applied" for kind, _ in rows]
    assert {attempts for _, _, _, attempts in found} == {1}
    assert len(await events(ground)) == 36
    assert len(await ground.rows("SELECT FROM tally_v1.person")) == 4


async def test_while_thousands_are_retried_the_partition_goes_on_reading(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    tally = await ground.create(Tally)
    await ground.store(founded(ORG), *(request(*((POISON, f"w{n}") for n in range(400))) for _ in range(3)))
    await ground.build(tally)
    monkeypatch.setattr(settling, "SETTLE_SECONDS", 0.0)
    monkeypatch.setattr(dues, "GROUP_ROWS", 30)

    async with ground.running(ground.engine(mended(Tally), gives_way=False)) as engine:
        await decide_all(ground, "retry", "tally_v1")
        await eventually(lambda: statuses(ground), lambda found: "applied" in found, within_seconds=10)
        await ground.reached("tally_v1", await ground.store(request(("a", "w1"))), within_seconds=10)
        assert (await statuses(ground)).get("retry", 0) > 0
        await eventually(lambda: statuses(ground), lambda found: found == {"applied": 1200}, within_seconds=60)
        assert not engine.done()
    assert len(await events(ground)) == 1201


async def test_a_run_to_an_end_settles_all_that_is_decided(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    tally = await ground.create(Tally)
    await ground.store(founded(ORG), request(*((POISON, f"w{n}") for n in range(40))))
    await ground.build(tally)
    await decide_all(ground, "retry", "tally_v1")
    await ground.store(request(("a", "w1")))
    monkeypatch.setattr(settling, "SETTLE_SECONDS", 0.0)
    monkeypatch.setattr(dues, "GROUP_ROWS", 10)

    await ground.build(mended(Tally))

    assert await statuses(ground) == {"applied": 40}
    assert len(await events(ground)) == 41


async def decide_all(ground: Ground, decision: str, schema: str) -> None:
    async with await AsyncConnection.connect(ground.dsn, autocommit=True) as connection:
        await connection.execute(f"UPDATE {schema}.parked SET status = %s".encode(), [decision])


async def statuses(ground: Ground) -> dict[str, int]:
    found = await ground.rows("SELECT status, count(*) AS n FROM tally_v1.parked GROUP BY 1")
    return {row["status"]: row["n"] for row in found}
