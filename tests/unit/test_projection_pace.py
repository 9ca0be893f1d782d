"""What a replay decides without servers: its share of the partitions, how it cuts, how it gives way."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from wepeople_chassis.stream import Batch, StoredMessage
from wepeople_contracts.projection import Projected
from wepeople_contracts.subjects import partition_of
from wepeople_projections.definition.selection import Selection
from wepeople_projections.running.cut import Cut, gathered
from wepeople_projections.running.ownership import share
from wepeople_projections.running.pace import Pace
from wepeople_projections.running.reading import last_position, reading_filter
from wepeople_projections.running.room import Room

MIB = 1024 * 1024


def messages(count: int, size: int = 10) -> list[StoredMessage]:
    return [StoredMessage(n, "ingest.1.o.a.events", str(n), 0, bytes(size)) for n in range(1, count + 1)]


def lengths(cut: Cut, count: int, *, limit: int = MIB) -> list[int]:
    return [len(part) for part in cut.parts(messages(count), lambda: limit)]


@pytest.mark.parametrize("members", range(1, 20))
def test_the_members_shares_are_all_the_partitions_and_differ_by_one_at_most(members: int) -> None:
    shares = [share(16, members, rank) for rank in range(members)]

    assert sum(shares) == 16
    assert max(shares) - min(shares) <= 1


def test_a_batch_ends_where_it_has_its_bytes() -> None:
    assert lengths(Cut(), 7, limit=30) == [3, 3, 1]


def test_no_message_is_one_empty_batch_so_that_the_checkpoint_moves() -> None:
    assert lengths(Cut(), 0) == [0]


async def test_what_arrives_is_put_together_while_more_is_on_its_way_until_it_has_its_bytes() -> None:
    async def arriving() -> AsyncIterator[Batch]:
        for first, pending in ((1, 9), (3, 7), (5, 5), (7, 0), (9, 4)):
            yield Batch(messages(10)[first - 1 : first + 1], first + 1, pending)
        yield Batch([], 12, 4)

    batches = [batch async for batch in gathered(arriving(), lambda: 60)]

    assert [([m.sequence for m in batch.messages], batch.through, batch.pending) for batch in batches] == [
        ([1, 2, 3, 4, 5, 6], 6, 5),
        ([7, 8], 8, 0),
        ([9, 10], 12, 4),
    ]


def test_a_refusal_makes_batches_an_eighth_as_long_and_they_grow_again() -> None:
    cut = Cut()
    cut.refine(64)

    assert lengths(cut, 100) == [8, 16, 32, 44]


def test_a_refused_pair_is_cut_into_single_messages() -> None:
    cut = Cut()
    cut.refine(2)

    assert lengths(cut, 4) == [1, 2, 1]


def test_a_selection_of_one_org_is_read_by_that_orgs_subject() -> None:
    partition = partition_of("org_a")

    assert reading_filter(partition, Selection(org_ids=("org_a",))) == f"ingest.{partition}.org_a.*.*"
    assert reading_filter((partition + 1) % 16, Selection(org_ids=("org_a",))) is None
    assert reading_filter(partition, Selection()) == f"ingest.{partition}.*.*.*"


def test_a_partition_ends_at_the_first_of_its_ends() -> None:
    assert last_position(3, Selection(), None) is None
    assert last_position(3, Selection(), {3: 7}) == 7
    assert last_position(3, Selection(to_sequence=5), {3: 7}) == 5
    assert last_position(4, Selection(to_sequence=5), {3: 7}) == 5


async def test_a_replay_rests_nineteen_times_its_work_while_the_live_read_models_are_behind() -> None:
    pace = Pace()
    pace.heard(Projected(partition=0, sequence=1, pending=3))

    begun = time.monotonic()
    async with pace.turn() as giving_way:
        await asyncio.sleep(0.02)
    took = time.monotonic() - begun

    assert giving_way
    assert took >= 20 * 0.02


async def test_while_it_gives_way_one_partition_works_at_a_time() -> None:
    pace, working, most = Pace(), 0, 0
    pace.heard(Projected(partition=0, sequence=1, pending=3))

    async def work() -> None:
        nonlocal working, most
        async with pace.turn():
            working += 1
            most = max(most, working)
            await asyncio.sleep(0.001)
            working -= 1

    await asyncio.gather(*(work() for _ in range(5)))

    assert most == 1


async def test_nobody_rests_while_the_live_read_models_have_nothing_left() -> None:
    pace = Pace()
    pace.heard(Projected(partition=0, sequence=1, pending=0))

    async with pace.turn() as giving_way:
        assert not giving_way


async def test_the_live_read_models_are_behind_until_each_partition_that_was_has_said_that_it_is_no_more() -> None:
    pace = Pace()
    for partition, pending in ((0, 3), (1, 1), (1, 0), (2, 0)):
        pace.heard(Projected(partition=partition, sequence=1, pending=pending))
    assert pace.busy

    pace.heard(Projected(partition=0, sequence=9, pending=0))
    assert not pace.busy


async def test_what_is_taken_on_together_is_bounded_and_something_too_large_goes_alone() -> None:
    room = Room(100)
    await room.enter(60)
    second = asyncio.create_task(room.enter(60))
    large = asyncio.create_task(room.enter(1000))
    await asyncio.sleep(0.01)
    assert not second.done()

    room.leave(60)
    await second
    assert not large.done()

    room.leave(60)
    await large
