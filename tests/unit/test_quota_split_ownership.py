"""Ownership over splits: whatever clocks, servers and processes do, never two answer for one partition at once."""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from random import Random
from types import SimpleNamespace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from nats.errors import NoRespondersError

from tests.support.simulated_lease import Delays, Link, Server, SimulatedBucket, exchange, quick, seconds_until
from tests.support.virtual_time import in_virtual_time, run_in_virtual_time
from wepeople_chassis.broker import BROKER_DOWN
from wepeople_chassis.tasks import end
from wepeople_quota.bucket import ALL, Entry
from wepeople_quota.lease import Lease
from wepeople_quota.ownership import Ownership

Layout = dict[str, frozenset[int]]

WHOLE: Layout = {"INGEST": ALL}
HALVES: Layout = {"INGEST": frozenset(range(8)), "INGEST_8": frozenset(range(8, 16))}
THREE: Layout = {**HALVES, "INGEST_8": frozenset(range(8, 12)), "INGEST_12": frozenset(range(12, 16))}


class World:
    """The streams as they are, and the leases."""

    def __init__(self) -> None:
        self.layout = WHOLE
        self.servers: defaultdict[str, Server] = defaultdict(Server)


class Desk:
    """Answers as soon as it is open."""

    def __init__(self, partition: int) -> None:
        self.partition = partition
        self.lease: Lease | None = None

    async def listen(self) -> None:
        """Nothing arrives."""

    async def open(self, lease: Lease) -> None:
        self.lease = lease

    async def close(self) -> None:
        self.lease = None

    def note_answers(self, answered: list[str] | None) -> None:
        """Nothing is asked."""

    def epoch(self) -> int | None:
        return None if self.lease is None else self.lease.epoch()


class Fold:
    """Is always at the end."""

    through = 0
    ledgers: dict[int, Any] = {}  # noqa: RUF012 - nothing is ever in it

    def __init__(self, partitions: frozenset[int]) -> None:
        self.partitions = partitions

    def settle(self, state: Any) -> None:
        self.partitions &= state.partitions

    async def reach(self, sequence: int) -> None:
        """It is there."""


class Alone:
    """A connection on which no other process is heard: leases alone settle who answers."""

    async def subscribe(self, subject: str, cb: Any) -> None:
        """Nobody says anything."""

    async def request(self, subject: str, data: bytes, timeout: float) -> None:
        raise NoRespondersError

    async def publish(self, subject: str, data: bytes) -> None:
        """Nobody hears it."""


class Process:
    """One process of quota, that looks at the streams every second; its clock goes a bit wrong."""

    def __init__(
        self, world: World, name: str, *, delays: Delays = quick, offset: float = 0.0, rate: float = 1.0
    ) -> None:
        loop = asyncio.get_running_loop()
        self._world, self._name, self.delays = world, name, delays
        self._believed: Layout | None = None
        self._clock: Callable[[], float] = lambda: offset + rate * loop.time()
        self.desks = {partition: Desk(partition) for partition in ALL}
        self.folds: dict[str, Fold] = {}
        self.ownerships: dict[str, Ownership] = {}
        self._lives = [asyncio.create_task(self._watch())]

    def _way(self) -> tuple[float, float]:
        return self.delays()

    def looks_at(self, layout: Layout) -> None:
        """Believe from now on that the streams are like this, until it has a lease."""
        self._believed = layout

    async def _watch(self) -> None:
        while True:
            with suppress(*BROKER_DOWN):
                for stream, partitions in (
                    await exchange(self._way, lambda: self._believed or self._world.layout, 2.0)
                ).items():
                    if stream not in self.folds:
                        self._begin(stream, partitions)
                    self.folds[stream].partitions &= partitions
            await asyncio.sleep(1)

    def _begin(self, stream: str, partitions: frozenset[int]) -> None:
        bucket = self._bucket(stream)

        async def others() -> list[Entry]:
            return [await self._bucket(other).read() for other in self.folds if other != stream]

        async def look() -> Any:
            partitions = await exchange(self._way, lambda: self._world.layout[stream], 2.0)
            return SimpleNamespace(partitions=partitions, last_sequence=0)

        fold = self.folds[stream] = Fold(partitions)
        lease = Lease(
            bucket,
            self._name,
            answers_for=lambda: self.ownerships[stream].answers_for(),  # noqa: PLW0108 - it is made with the lease
            others=others,
            clock=self._clock,
        )
        parts: dict[str, Any] = {"lease": lease, "fold": fold, "desks": self.desks, "look": look}
        connection: Any = Alone()
        self.ownerships[stream] = Ownership(connection, stream, **parts)
        self._lives.append(asyncio.create_task(self.ownerships[stream].live()))

    def _bucket(self, stream: str) -> SimulatedBucket:
        return SimulatedBucket(self._world.servers[stream], self._way)

    def epochs(self) -> dict[int, int]:
        """Under which epoch each partition is answered for here."""
        found = {partition: desk.epoch() for partition, desk in self.desks.items()}
        return {partition: epoch for partition, epoch in found.items() if epoch is not None}

    async def end(self, *, in_order: bool) -> None:
        if in_order:
            with suppress(*BROKER_DOWN):
                await asyncio.gather(*(ownership.hand_over() for ownership in self.ownerships.values()))
        await end(self._lives)
        for desk in self.desks.values():
            desk.lease = None


@given(st.integers(0, 2**32))
@settings(max_examples=150, deadline=None)
def test_over_splits_never_do_two_answer_for_a_partition_and_its_epochs_only_grow(seed: int) -> None:
    random = Random(seed)

    def process(world: World, number: int) -> Process:
        offset, rate = random.uniform(0, 1000), random.choice([0.98, 1.0, 1.02])
        return Process(world, f"p{number}", delays=Link(random).delays, offset=offset, rate=rate)

    async def simulate() -> None:
        world = World()
        processes = [process(world, number) for number in range(3)]
        highest: defaultdict[int, int] = defaultdict(int)
        splits = {random.randrange(600): HALVES, random.randrange(600, 1000): THREE}
        for step in range(1200):
            await asyncio.sleep(0.05)
            world.layout = splits.get(step, world.layout)
            if random.random() < 0.005:
                ended = random.randrange(3)
                await processes[ended].end(in_order=random.random() < 0.3)
                processes[ended] = process(world, 3 + step)
            answered: set[int] = set()
            for one in processes:
                epochs = one.epochs()
                assert answered.isdisjoint(epochs)
                answered |= epochs.keys()
                for partition, epoch in epochs.items():
                    assert epoch >= highest[partition]
                    highest[partition] = epoch
        for one in processes:
            await one.end(in_order=False)

    run_in_virtual_time(simulate())


@in_virtual_time
async def test_a_partition_is_answered_for_without_a_pause_while_its_stream_is_split_and_two_processes_know() -> None:
    world = World()
    owner = Process(world, "owner")
    await seconds_until(lambda: len(owner.epochs()) == len(ALL))
    standby = Process(world, "standby")
    await asyncio.sleep(5)
    for layout in (HALVES, THREE):
        world.layout = layout
        for _ in range(500):
            await asyncio.sleep(0.01)
            assert owner.epochs().keys() == ALL
        entries = {stream: world.servers[stream].entry for stream in layout}
        assert {stream: entry.partitions for stream, entry in entries.items()} == layout
        assert {entry.owner for entry in entries.values()} == {"owner"}
    assert standby.epochs() == {}
    await owner.end(in_order=False)
    await standby.end(in_order=False)


@in_virtual_time
async def test_what_an_owner_leaves_that_died_with_its_streams_split_is_another_s_as_soon_as_after_any_kill() -> None:
    world = World()
    owner = Process(world, "owner")
    await seconds_until(lambda: len(owner.epochs()) == len(ALL))
    standby = Process(world, "standby")
    await asyncio.sleep(5)
    await owner.end(in_order=False)
    world.layout = HALVES
    assert await seconds_until(lambda: standby.epochs().keys() == ALL) < 5
    await standby.end(in_order=False)


@in_virtual_time
async def test_who_takes_the_lease_of_a_stream_without_knowing_that_it_was_split_leaves_alone_what_left_it() -> None:
    world = World()
    owner = Process(world, "owner")
    late = Process(world, "late")
    await seconds_until(lambda: len(owner.epochs()) == len(ALL))
    late.delays = lambda: (3600.0, 0.0)
    await asyncio.sleep(3)
    world.layout = HALVES
    await asyncio.sleep(3)
    assert late.folds.keys() == {"INGEST"}
    late.looks_at(WHOLE)
    late.delays = quick
    await owner.ownerships["INGEST"].hand_over()
    await seconds_until(lambda: late.epochs().keys() == HALVES["INGEST"])
    await asyncio.sleep(5)
    assert owner.epochs().keys() == HALVES["INGEST_8"]
    await owner.end(in_order=False)
    await late.end(in_order=False)
