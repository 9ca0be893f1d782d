"""Streams are split while requests come in: none fails for good, none is lost, none is doubled, and retries replay."""

import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.breakable import Breakable, breakable_system
from tests.support.split_load import (
    Provisioner,
    answers,
    callers_of_quarters,
    complaints,
    loads,
    more,
    requests_to_repeat,
)
from wepeople_chassis.stream import stream_states

ANSWERS = {"202", "202r", "TimeoutError"}
"""What clients may see of a split: nothing. The last is their own impatience."""


@pytest.fixture
async def whole(tmp_path: Path) -> AsyncIterator[Breakable]:
    """A system of this test alone, with one stream."""
    async with breakable_system(tmp_path / "state") as running:
        yield running


@pytest.fixture
def provisioner(tmp_path: Path) -> Provisioner:
    return Provisioner(tmp_path / "state/provision")


async def names(whole: Breakable) -> list[str]:
    return [state.name for state in await stream_states(whole.operator.connection)]


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_a_split_is_seen_by_nobody_and_a_retry_over_it_replays_byte_for_byte_also_without_quota(
    whole: Breakable, provisioner: Provisioner
) -> None:
    url = whole.system.gateway_url
    callers = await callers_of_quarters(whole.operator)
    repeated = requests_to_repeat(whole.operator, await callers_of_quarters(whole.operator))
    first = [await one.send(url) for one in repeated]
    async with loads(whole, callers, rate=24, seed=random.randrange(2**32)) as orgs:
        await more(orgs, 10)
        print(await provisioner.stream("split"))
        second = [await one.send(url) for one in repeated]
        await more(orgs, 10)
    print(answers(orgs))
    assert await names(whole) == ["INGEST", "INGEST_8"]
    assert set(answers(orgs)) <= ANSWERS
    await whole.system.services["quota"].stop()
    third = [await one.send(url) for one in repeated]
    await whole.mend()
    for one, sent in zip(repeated, zip(first, second, third, strict=True), strict=True):
        await one.holds(*sent)
    assert await complaints(whole, orgs) == []


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_streams_are_split_into_eight_and_the_command_is_killed_again_and_again(
    whole: Breakable, provisioner: Provisioner
) -> None:
    url = whole.system.gateway_url
    callers = await callers_of_quarters(whole.operator)
    repeated = requests_to_repeat(whole.operator, await callers_of_quarters(whole.operator))
    first = [await one.send(url) for one in repeated]
    kills = 0
    async with loads(whole, callers, rate=60, seed=random.randrange(2**32)) as orgs:
        await more(orgs, 30)
        while len(await names(whole)) < 8:
            kills += await provisioner.stream_killed("split", "--into", "8", after_seconds=random.uniform(0, 0.4))
            await more(orgs, 5)
        await provisioner.stream("split", "--into", "8")
        await more(orgs, 30)
        last = [await one.send(url) for one in repeated]
    print(f"{kills} kills, {sum(len(org.load.ledger.sent) for org in orgs)} requests, answers {answers(orgs)}")
    assert kills
    for one, sent in zip(repeated, zip(first, last, strict=True), strict=True):
        await one.holds(*sent)
    assert await complaints(whole, orgs) == []
