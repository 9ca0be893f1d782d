"""The lease: whatever clocks, servers and processes do, never two owners at once; and a quick successor."""

import asyncio
from contextlib import suppress
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.simulated_lease import Delays, Link, Server, SimulatedBucket, cut, quick, seconds_until
from tests.support.virtual_time import in_virtual_time, run_in_virtual_time
from wepeople_chassis.tasks import end
from wepeople_quota.bucket import ALL, OVERWRITTEN, Entry, entry_of
from wepeople_quota.lease import LEASE_SECONDS, STILL_SECONDS, Lease


class Process:
    """One process of quota, as far as the lease is concerned; its clock has its own beginning and goes a bit wrong."""

    def __init__(
        self, server: Server, name: str, *, delays: Delays = quick, offset: float = 0.0, rate: float = 1.0
    ) -> None:
        loop = asyncio.get_running_loop()
        self.bucket = SimulatedBucket(server, delays)
        self.elsewhere: list[Entry] = []
        self.lease = Lease(
            self.bucket,
            name,
            answers_for=lambda: ALL,
            others=self._others,
            clock=lambda: offset + rate * loop.time(),
        )
        self._life = asyncio.create_task(self._live())

    async def _others(self) -> list[Entry]:
        return self.elsewhere

    async def _live(self) -> None:
        while True:
            await self.lease.take()
            await self.lease.keep()

    @property
    def epoch(self) -> int | None:
        return None if self._life.done() else self.lease.epoch()

    async def end(self, *, in_order: bool, heir: str = "") -> None:
        await end([self._life])
        if in_order:
            with suppress(TimeoutError):
                await self.lease.give_back(heir)


async def owned() -> tuple[Server, Process]:
    """A server, and the process that has its lease."""
    server = Server()
    owner = Process(server, "owner")
    await seconds_until(lambda: owner.epoch == 1)
    return server, owner


async def watched() -> tuple[Server, Process, Process]:
    """These, and one that has stood by for some time."""
    server, owner = await owned()
    standby = Process(server, "standby")
    await asyncio.sleep(5)
    return server, owner, standby


@given(st.integers(0, 2**32), st.sampled_from([0.0, 0.003, 0.1]))
@settings(max_examples=200, deadline=None)
def test_never_do_two_answer_at_once_and_epochs_only_grow(seed: int, overwritten: float) -> None:
    random = Random(seed)

    def process(server: Server, number: int) -> Process:
        offset, rate = random.uniform(0, 1000), random.choice([0.98, 1.0, 1.02])
        return Process(server, f"p{number}", delays=Link(random).delays, offset=offset, rate=rate)

    async def simulate() -> None:
        server = Server()
        processes = [process(server, number) for number in range(3)]
        for step in range(1200):
            await asyncio.sleep(0.05)
            if random.random() < 0.003:
                ended = random.randrange(3)
                await processes[ended].end(in_order=random.random() < 0.3)
                processes[ended] = process(server, 3 + step)
            if random.random() < overwritten:
                server.overwrite()
            epochs = [one.epoch for one in processes if one.epoch is not None]
            assert len(epochs) <= 1
            assert all(epoch == max(server.epochs) for epoch in epochs)
        assert server.epochs == sorted(server.epochs)
        for one in processes:
            await one.end(in_order=False)

    run_in_virtual_time(simulate())


@in_virtual_time
async def test_the_first_process_takes_the_lease_at_once() -> None:
    only = Process(Server(), "only")
    assert await seconds_until(lambda: only.epoch == 1) < 0.1


@pytest.mark.parametrize(("in_order", "longest"), [(False, STILL_SECONDS + 0.3), (True, 0.3)])
@in_virtual_time
async def test_a_standby_takes_over_soon(in_order: bool, longest: float) -> None:
    _, owner, standby = await watched()
    assert (owner.epoch, standby.epoch) == (1, None)
    await owner.end(in_order=in_order)
    assert await seconds_until(lambda: standby.epoch == 2) < longest


@in_virtual_time
async def test_a_standby_that_is_told_that_the_owner_leaves_loses_no_time() -> None:
    _, owner, standby = await watched()
    standby.lease.hurry()
    await asyncio.sleep(0.2)
    await owner.end(in_order=True)
    assert await seconds_until(lambda: standby.epoch == 2) < 0.05


@in_virtual_time
async def test_an_owner_that_cannot_renew_falls_silent_and_goes_on_under_its_epoch_if_nobody_took_over() -> None:
    _, owner = await owned()
    owner.bucket.delays = cut
    assert await seconds_until(lambda: owner.epoch is None) <= LEASE_SECONDS
    owner.bucket.delays = quick
    assert await seconds_until(lambda: owner.epoch == 1) < 1.5


@in_virtual_time
async def test_a_standby_leaves_an_owner_time_to_renew_after_nobody_could_see_the_entry() -> None:
    _, owner, standby = await watched()
    owner.bucket.delays = standby.bucket.delays = cut
    await asyncio.sleep(20)
    owner.bucket.delays = standby.bucket.delays = quick
    await asyncio.sleep(10)
    assert (owner.epoch, standby.epoch) == (1, None)


@in_virtual_time
async def test_an_entry_that_vanishes_is_no_vacancy() -> None:
    server, owner, standby = await watched()
    server.entry = Entry(0, 0, "")
    await seconds_until(lambda: owner.epoch is None)
    assert await seconds_until(lambda: (owner.epoch or standby.epoch) is not None) < STILL_SECONDS + 0.3
    assert max(owner.epoch or 0, standby.epoch or 0) == 2


@in_virtual_time
async def test_an_owner_whose_entry_is_overwritten_takes_it_back_without_a_pause() -> None:
    server, owner, standby = await watched()
    for _ in range(20):
        await asyncio.sleep(1.7)
        server.overwrite()
        assert (owner.epoch, standby.epoch) == (1, None)
    assert await seconds_until(lambda: server.entry.owner == "owner") < 1.1


@in_virtual_time
async def test_what_was_overwritten_as_the_owner_died_is_taken_under_a_higher_epoch_once_it_has_stood_still() -> None:
    server = Server()
    server.entry = Entry(70, 7, "owner")
    server.overwrite()
    began = Process(server, "next")
    assert STILL_SECONDS <= await seconds_until(lambda: began.epoch is not None) < STILL_SECONDS + 0.3
    assert began.epoch is not None
    assert began.epoch > 7


@in_virtual_time
async def test_an_owner_gives_its_lease_to_a_process_that_it_names_and_to_no_other() -> None:
    server, owner, standby = await watched()
    heir = Process(server, "heir")
    await asyncio.sleep(5)
    await owner.end(in_order=True, heir="heir")
    assert await seconds_until(lambda: heir.epoch == 2) < 0.3
    await asyncio.sleep(10)
    assert (standby.epoch, heir.epoch) == (None, 2)


@in_virtual_time
async def test_a_lease_given_to_a_process_that_is_gone_is_another_s_once_it_has_stood_still() -> None:
    _, owner, standby = await watched()
    await owner.end(in_order=True, heir="nobody")
    assert STILL_SECONDS <= await seconds_until(lambda: standby.epoch == 2) < STILL_SECONDS + 0.5


@pytest.mark.parametrize("owner", ["somebody", OVERWRITTEN])
@in_virtual_time
async def test_a_vacant_lease_is_not_taken_while_its_partitions_are_answered_for_under_another_streams(
    owner: str,
) -> None:
    process = Process(Server(), "next")
    process.elsewhere = [Entry(40, 7, owner, frozenset({0, 1, 9}))]
    await asyncio.sleep(20)
    assert [process.epoch] == [None]
    process.elsewhere = [Entry(41, 7, owner, frozenset())]
    assert await seconds_until(lambda: process.epoch is not None) < 0.3
    assert process.epoch == 8


@in_virtual_time
async def test_who_answers_for_a_streams_partitions_already_takes_its_lease_above_all_epochs() -> None:
    process = Process(Server(), "owner")
    process.elsewhere = [Entry(40, 7, "owner", ALL), Entry(41, 9, "", ALL)]
    assert await seconds_until(lambda: process.epoch is not None) < 0.1
    assert process.epoch == 10


def _text(epoch: str = "3", owner: str = '"a"', partitions: str = "[0, 9]") -> bytes:
    return f'{{"epoch": {epoch}, "owner": {owner}, "partitions": {partitions}}}'.encode()


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"\xff", b"null", b"[]", b"7", b"{}", b'{"epoch":3}', b'{"owner":"a"}', b"[" * 100_000),
        *(_text('"3"'), _text("3.5"), _text("-1"), _text("9223372036854775807"), _text(owner="null")),
        *(_text(partitions=text) for text in ("16", '["a"]', "[[1]]", "[-1]", "[16]", '"0"', "null")),
        *(b'{"epoch":3,"owner":"a"}', b'{"error":{"code":404}}'),
    ],
)
def test_what_no_process_has_written_is_nobodys_and_of_no_lower_epoch_than_any_before(data: bytes) -> None:
    assert entry_of(12, data) == Entry(12, 12, OVERWRITTEN, ALL)


def test_what_a_process_has_written_is_its_own() -> None:
    assert entry_of(12, _text(owner='"host:1:x"')) == Entry(12, 3, "host:1:x", frozenset({0, 9}))
    assert entry_of(12, _text(owner='""')) == Entry(12, 3, "", frozenset({0, 9}))
