"""One engine: it applies the stream once, up to where it is told, and goes on where it was."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from psycopg import AsyncConnection

from tests.support.engines import Commits, Ground, ground_of
from tests.support.fresh import Fresh, renew_stream
from tests.support.random_history import random_history
from tests.support.read_models import eventually
from tests.support.stored import envelope, founded, raw
from tests.support.tally import Counts, Tally
from wepeople_chassis.broker import NatsAddress, close, connect
from wepeople_chassis.stream import StreamError
from wepeople_chassis.tasks import end
from wepeople_contracts.envelope import Envelope
from wepeople_contracts.projection import Projected
from wepeople_contracts.subjects import PARTITIONS, partition_of, projected_subject
from wepeople_projections.definition.selection import Selection

ORG = "org_a"
OTHER = next(f"org_{n}" for n in range(100) if partition_of(f"org_{n}") != partition_of(ORG))


@pytest.fixture
async def ground(fresh: Fresh) -> AsyncIterator[Ground]:
    async with ground_of(fresh) as ground:
        yield ground


def event(org: str = ORG, kind: str = "a", app: str = "app") -> Envelope:
    return envelope(org, [raw({"eventType": kind, "category": "code", "actor": {"externalId": "w"}})], app_id=app)


async def sequences(ground: Ground, schema: str = "tally_v1") -> list[int]:
    """Where the events are that were applied."""
    return [row["sequence"] for row in await ground.rows(f"SELECT sequence FROM {schema}.seen ORDER BY 1")]


async def test_a_projection_is_built_up_to_the_end_of_the_stream_in_every_partition(ground: Ground) -> None:
    last = await ground.store(*random_history(1, 60))
    tally = await ground.create(Tally)

    await ground.build(tally)

    assert await ground.positions("tally_v1") == dict.fromkeys(range(PARTITIONS), last)
    assert len((await ground.contents(tally))["arrival"]) == last
    assert await ground.rows("SELECT * FROM tally_v1.parked") == []


async def test_an_empty_stream_is_built_at_once(ground: Ground) -> None:
    tally = await ground.create(Tally)

    async with asyncio.timeout(5):
        await ground.build(tally)

    assert await ground.positions("tally_v1") == dict.fromkeys(range(PARTITIONS), 0)


async def test_a_run_ends_exactly_where_it_is_told_to_and_the_next_goes_on_from_there(ground: Ground) -> None:
    tally = await ground.create(Tally)
    await ground.store(founded(ORG), *(event() for _ in range(9)))

    for last in (4, 4, 7, 10):
        await ground.build(tally, until=dict.fromkeys(range(PARTITIONS), last))
        assert await sequences(ground) == list(range(2, last + 1))
        assert set((await ground.positions("tally_v1")).values()) == {last}
    rows = await ground.rows("SELECT sum(rows) AS applied FROM tally_v1.checkpoint")
    assert rows == [{"applied": 9}]


async def test_partitions_may_end_at_different_places(ground: Ground) -> None:
    tally = await ground.create(Tally)
    await ground.store(founded(ORG), founded(OTHER), event(ORG), event(OTHER), event(ORG), event(OTHER))
    until = dict.fromkeys(range(PARTITIONS), 6) | {partition_of(ORG): 3}

    await ground.build(tally, until=until)

    assert await sequences(ground) == [3, 4, 6]
    assert await ground.positions("tally_v1") == until


async def test_an_end_that_is_not_stored_yet_is_waited_for(ground: Ground) -> None:
    tally = await ground.create(Tally)
    await ground.store(founded(ORG), event())

    build = asyncio.create_task(ground.build(tally, until=dict.fromkeys(range(PARTITIONS), 4)))
    await ground.reached("tally_v1", 2)
    assert not build.done()
    await ground.store(event(), event(), event())
    await build

    assert await sequences(ground) == [2, 3, 4]


async def test_a_selection_limits_what_handlers_see_but_not_who_is_known(ground: Ground) -> None:
    tally = await ground.create(Tally)
    await ground.store(founded(ORG), founded(OTHER), event(), event(OTHER), event(kind="b"), event(app="app2"), event())

    selection = Selection(from_sequence=4, to_sequence=6, org_ids=(ORG,), app_ids=("app",), event_types=("a*", "b"))
    await ground.build(tally, selection=selection, until=None)

    assert await sequences(ground) == [5]
    assert [row["org_id"] for row in await ground.rows("SELECT org_id FROM tally_v1.orgs")] == [ORG]
    assert set((await ground.positions("tally_v1")).values()) == {6}


async def test_what_resolves_no_workers_begins_at_its_first_sequence(ground: Ground) -> None:
    counts = await ground.create(Counts)
    await ground.store(founded(ORG), event(), event(), event())
    commits = Commits()

    selection = Selection(from_sequence=3)
    until = dict.fromkeys(range(PARTITIONS), 4)
    await ground.engine(counts, commits=commits, selection=selection, until=until, gives_way=False).run()

    assert await ground.rows("SELECT events FROM counts_v1.load") == [{"events": 2}]
    assert min(sequence for _, sequence, _, _ in commits.told) == 2


async def test_every_commit_is_told_with_the_rows_it_brought_and_what_is_left(ground: Ground) -> None:
    tally, commits = await ground.create(Tally), Commits()
    await ground.store(founded(ORG), event(), event(), event())

    until = dict.fromkeys(range(PARTITIONS), 4)
    await ground.engine(tally, commits=commits, until=until, batch_bytes=1, gives_way=False).run()

    told = [said[1:] for said in commits.told if said[0] == partition_of(ORG)]
    assert told == [(0, 0, 0), (1, 0, 3), (2, 1, 2), (3, 1, 1), (4, 1, 0)]


async def test_what_is_stored_later_is_applied_as_it_comes_and_idle_partitions_follow(ground: Ground) -> None:
    tally = await ground.create(Tally)
    engine = ground.engine(tally)
    async with ground.running(engine):
        async with asyncio.timeout(10):
            await engine.started.wait()
        last = await ground.store(founded(ORG), event())
        await ground.reached("tally_v1", last, within_seconds=3)
        await eventually(
            lambda: ground.positions("tally_v1"),
            lambda found: set(found.values()) == {last},
            within_seconds=15,
            what="all partitions at the end",
        )
    commits = await ground.rows("SELECT partition FROM tally_v1.commits")
    assert {row["partition"] for row in commits} == {partition_of(ORG)}, "only what brought messages is in the journal"


async def test_a_schema_that_takes_the_place_of_another_fences_who_wrote_into_the_old_one(ground: Ground) -> None:
    tally = await ground.create(Tally)
    await ground.create(Tally, "tally_v2")
    await ground.store(founded(ORG), event())
    await ground.build(tally, "tally_v2")
    async with ground.running(ground.engine(tally)):
        await ground.reached("tally_v1", 2)
        async with await AsyncConnection.connect(ground.dsn) as connection:
            await connection.execute("LOCK TABLE tally_v1.checkpoint IN EXCLUSIVE MODE")
            await connection.execute("INSERT INTO tally_v2.load VALUES ('x', 'new', 1, 1)")
            await connection.execute("ALTER SCHEMA tally_v1 RENAME TO tally_v1_old")
            await connection.execute("ALTER SCHEMA tally_v2 RENAME TO tally_v1")
        last = await ground.store(event())
        await ground.reached("tally_v1", last)

    assert await sequences(ground) == [2, 3]
    assert await sequences(ground, "tally_v1_old") == [2]
    assert await ground.rows("SELECT FROM tally_v1.load WHERE connection = 'new'")


async def test_two_engines_that_both_believe_to_own_a_partition_apply_everything_once(ground: Ground) -> None:
    tally = await ground.create(Tally)
    async with (
        await AsyncConnection.connect(ground.admin_dsn, autocommit=True) as admin,
        ground.running(ground.engine(tally, batch_bytes=1)),
        ground.running(ground.engine(tally, batch_bytes=1)),
    ):
        stored = asyncio.create_task(ground.store(*random_history(8, 60)))
        for _ in range(6):
            # Whoever loses its locks may be in the middle of a write that goes on by another connection.
            await admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2"
                " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            )
            await asyncio.sleep(0.2)
        last = await stored
        await ground.reached("tally_v1", last)
    await ground.create(Tally, "tally_v2")
    await ground.build(tally, "tally_v1")
    await ground.build(tally, "tally_v2")

    assert await ground.contents(tally, "tally_v1") == await ground.contents(tally, "tally_v2")


async def test_a_stream_that_is_another_than_the_one_applied_ends_the_run(ground: Ground) -> None:
    tally = await ground.create(Tally)
    await ground.store(founded(ORG), event())
    await ground.build(tally)
    await renew_stream(ground.connection)
    await ground.store(founded(ORG), event())

    with pytest.raises(StreamError, match="rebuild"):
        await ground.build(tally)


async def test_a_replay_gives_way_while_the_live_read_models_are_behind_and_ends_all_the_same(ground: Ground) -> None:
    tally = await ground.create(Tally)
    last = await ground.store(founded(ORG), *(event() for _ in range(100)))
    until = dict.fromkeys(range(PARTITIONS), last)
    live = await connect(NatsAddress(ground.nats_url), "live")

    async def broadcast(pending: int) -> None:
        projected = Projected(partition=0, sequence=1, pending=pending)
        await live.publish(projected_subject(0), projected.model_dump_json().encode())
        await live.flush()

    async def stay_behind() -> None:
        while True:
            await broadcast(1000)
            await asyncio.sleep(0.05)

    broadcasting = asyncio.create_task(stay_behind())
    paced = asyncio.create_task(ground.engine(tally, until=until, batch_bytes=1).run())
    try:
        await ground.reached("tally_v1", 5)
        before = len(await sequences(ground))
        clock = asyncio.get_running_loop().time
        began_at = clock()
        # On a busy machine the work takes longer, and the rest after it nineteen times that.
        await eventually(
            lambda: sequences(ground),
            lambda found: len(found) >= before + 4,
            within_seconds=60,
            what="it has moved on, beside the live read models",
        )
        after, stopped_at = len(await sequences(ground)), clock()
        assert not paced.done()
        await end([broadcasting])
        await broadcast(0)
        async with asyncio.timeout(60):
            await paced
        slow = (after - before) / (stopped_at - began_at)
        fast = (last - 1 - after) / (clock() - stopped_at)
    finally:
        await end([broadcasting, paced])
        await close(live)

    assert slow * 3 < fast, "work is followed by nineteen times as much rest"
    assert await sequences(ground) == list(range(2, last + 1))


async def test_a_batch_that_was_begun_before_the_live_read_models_fell_behind_gives_way_too(ground: Ground) -> None:
    tally = await ground.create(Tally)
    rows = [raw({"eventType": "a", "category": "code", "actor": {"externalId": "w"}, "metadata": {"x": "x" * 2000}})]
    last = await ground.store(founded(ORG), *(envelope(ORG, rows * 130) for _ in range(60)))
    until = dict.fromkeys(range(PARTITIONS), last)
    live = await connect(NatsAddress(ground.nats_url), "live")

    async def broadcast(pending: int) -> None:
        projected = Projected(partition=0, sequence=1, pending=pending)
        await live.publish(projected_subject(0), projected.model_dump_json().encode())
        await live.flush()

    engine = ground.engine(tally, until=until, batch_bytes=64 * 1024 * 1024)
    async with ground.running(engine) as paced:
        try:
            await engine.started.wait()
            await broadcast(1000)
            applied = len(await eventually(lambda: sequences(ground), bool, what="a first part is written"))
            await broadcast(0)
            async with asyncio.timeout(60):
                await paced
        finally:
            await close(live)

    assert applied < 60 * 130, "one batch of all that there is would be written at once"
    assert len(await sequences(ground)) == 60 * 130
