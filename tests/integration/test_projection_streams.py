"""A projection over several streams: it reads each partition where it is, and goes on by itself where one is split."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

import pytest
from nats.aio.client import Client
from psycopg import AsyncConnection
from rich.console import Console

from tests.support.engines import Ground, ground_of
from tests.support.fresh import Fresh, renew_stream
from tests.support.poisoned import request
from tests.support.random_history import Message, random_history
from tests.support.read_models import eventually
from tests.support.splitting import split_stream
from tests.support.stored import founded, store
from tests.support.tally import POISON, Tally
from wepeople_chassis.broker import BROKER_DOWN
from wepeople_chassis.stream import stream_of, takers
from wepeople_contracts.subjects import PARTITIONS, partition_of
from wepeople_projections.commands.choosing import Choice, ChoiceError, selection_of
from wepeople_projections.definition.projection import Definition
from wepeople_projections.postgres.digest import digests, keys_of
from wepeople_projections.replay.building import Workplace
from wepeople_projections.versions.proving import prove

LOWER = next(f"org_{n}" for n in range(100) if partition_of(f"org_{n}") < PARTITIONS // 2)
UPPER = next(f"org_{n}" for n in range(100) if partition_of(f"org_{n}") >= PARTITIONS // 2)


@pytest.fixture
async def ground(fresh: Fresh) -> AsyncIterator[Ground]:
    async with ground_of(fresh) as ground:
        yield ground


@pytest.fixture
async def two(ground: Ground) -> Ground:
    await renew_stream(ground.connection, streams=2)
    return ground


async def store_for_certain(connection: Client, messages: Sequence[Message]) -> None:
    """As the gateway does: again under the same id, until somebody takes it."""
    for message in messages:
        async with asyncio.timeout(20):
            while True:
                try:
                    await store(connection, message)
                    break
                except BROKER_DOWN:
                    await asyncio.sleep(0.02)


async def ends(ground: Ground) -> dict[int, int]:
    return {partition: stream.last_sequence for partition, stream in (await takers(ground.connection)).items()}


async def arrivals(ground: Ground) -> int:
    [line] = await ground.rows("SELECT count(*) AS rows FROM tally_v1.arrival")
    return int(line["rows"])


async def same_as_from_scratch(ground: Ground, definition: Definition) -> bool:
    await ground.create(Tally, "tally_v2")
    await ground.build(definition, "tally_v2", until=await ground.positions("tally_v1"))
    async with await AsyncConnection.connect(ground.admin_dsn) as connection:
        both = [await digests(connection, schema, keys_of(definition)) for schema in ("tally_v1", "tally_v2")]
    assert all(both[0].tables.values())
    return both[0] == both[1]


async def test_each_partition_is_built_up_to_the_end_of_its_own_stream(two: Ground) -> None:
    history = random_history(3, 60)
    await two.store(*history)
    tally = await two.create(Tally)

    await two.build(tally)

    assert await two.positions("tally_v1") == await ends(two)
    assert len({stream.name for stream in (await takers(two.connection)).values()}) == 2
    assert await arrivals(two) == len(history)


async def test_messages_of_one_sequence_in_two_streams_are_parked_and_skipped_each_by_itself(two: Ground) -> None:
    for org in (LOWER, UPPER):
        await two.store(founded(org), request((POISON, "w1"), org=org))
    tally = await two.create(Tally)
    await two.build(tally)
    parked = await two.rows("SELECT sequence, row_index, org_id, partition FROM tally_v1.parked ORDER BY org_id")
    assert {(line["org_id"], line["partition"]) for line in parked} == {
        (org, partition_of(org)) for org in (LOWER, UPPER)
    }
    assert {line["sequence"] for line in parked} == {2}

    await two.create(Tally, "tally_v2")
    await two.build(tally, "tally_v2", skipped={partition_of(UPPER): frozenset({(2, 0)})})

    assert [line["org_id"] for line in await two.rows("SELECT org_id FROM tally_v2.parked")] == [LOWER]


async def test_a_build_of_two_streams_is_proved(two: Ground) -> None:
    await two.store(*random_history(5, 60, poison=(POISON,)))
    tally = await two.create(Tally)
    await two.build(tally)

    proof = await prove(Workplace(two.connection, two.pool, Console(stderr=True), as_json=True), tally, "tally_v1")

    assert (proof.difference, proof.rows > 0) == (None, True)


async def test_streams_are_split_while_a_projection_runs_and_nothing_is_lost_or_doubled(ground: Ground) -> None:
    history = random_history(7, 300, orgs=40)
    founding, first, second, third = history[:40], history[40:140], history[140:240], history[240:]
    await ground.store(*founding)
    tally = await ground.create(Tally)
    async with ground.running(ground.engine(tally)):
        storing = asyncio.create_task(store_for_certain(ground.connection, first))
        await split_stream(ground.connection, "INGEST")
        await storing
        before = await ground.positions("tally_v1")
        storing = asyncio.create_task(store_for_certain(ground.connection, second))
        await split_stream(ground.connection, (await stream_of(ground.connection, 15)).name)
        await storing
        await store_for_certain(ground.connection, third)
        await eventually(
            lambda: arrivals(ground), lambda rows: rows >= len(history), within_seconds=60, what="all is applied"
        )
    after = await ground.positions("tally_v1")

    assert await arrivals(ground) == len(history)
    assert len({stream.name for stream in (await takers(ground.connection)).values()}) == 3
    assert all(after[partition] >= before[partition] for partition in before)
    assert await same_as_from_scratch(ground, tally)


async def test_what_comes_first_after_a_split_to_a_partition_that_was_idle_is_applied(ground: Ground) -> None:
    await ground.store(founded(LOWER), founded(UPPER), *(request(("a", "w1"), org=LOWER) for _ in range(5)))
    tally = await ground.create(Tally)
    async with ground.running(ground.engine(tally)):
        await eventually(
            lambda: ground.positions("tally_v1"),
            lambda found: found.get(partition_of(UPPER)) == 7,
            what="the idle partition at the stream's end",
        )
        await split_stream(ground.connection, "INGEST")
        at = await ground.store(request(("b", "w1"), org=UPPER))
        await eventually(lambda: arrivals(ground), lambda rows: rows == 8, what="the first message of the new stream")

    assert at > 7, "or readers would take it for one that they have passed"
    assert (await stream_of(ground.connection, partition_of(UPPER))).name != "INGEST"


async def test_a_sequence_that_is_typed_means_something_only_within_one_stream(two: Ground) -> None:
    await two.store(founded(LOWER), founded(UPPER), request(("a", "w1"), org=LOWER))
    with pytest.raises(ChoiceError, match=r"--from 2 is another message in each of the streams INGEST, INGEST_8\."):
        await selection_of(two.connection, Choice(start="2"))
    with pytest.raises(ChoiceError, match="Say a time, such as --to 2026-04-01T09:00Z, or name the org"):
        await selection_of(two.connection, Choice(end="2"))

    chosen = await selection_of(two.connection, Choice(start="2", orgs=(LOWER,)))

    assert (chosen.from_sequence, chosen.from_sequences) == (2, {})


async def test_a_time_means_in_each_stream_what_was_stored_since(two: Ground) -> None:
    await two.store(founded(LOWER), founded(UPPER), request(("a", "w1"), org=LOWER))
    since = datetime.now(UTC).isoformat()
    later = await two.store(request(("b", "w1"), org=LOWER))
    await two.store(request(("b", "w1"), org=UPPER))

    chosen = await selection_of(two.connection, Choice(start=since))
    tally = await two.create(Tally)
    await two.build(tally, selection=chosen)

    assert chosen.of_partition(partition_of(LOWER)).from_sequence == later == 3
    assert chosen.of_partition(partition_of(UPPER)).from_sequence == 2
    assert await two.rows("SELECT event_type FROM tally_v1.seen") == [{"event_type": "b"}] * 2
