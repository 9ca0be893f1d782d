"""One engine: it applies the stream once, up to where it is told, and goes on where it was."""

from collections.abc import AsyncIterator

import pytest

from tests.support.engines import Ground, ground_of
from tests.support.fresh import Fresh
from tests.support.random_history import random_history
from tests.support.tally import Tally


@pytest.fixture
async def ground(fresh: Fresh) -> AsyncIterator[Ground]:
    async with ground_of(fresh) as ground:
        yield ground


async def test_a_projection_is_built_up_to_the_end_of_the_stream(ground: Ground) -> None:
    last = await ground.store(*random_history(1, 60))
    tally = await ground.create(Tally)

    await ground.build(tally)

    assert set((await ground.positions("tally_v1")).values()) == {last}
    assert len((await ground.contents(tally))["arrival"]) == last
    assert await ground.rows("SELECT * FROM tally_v1.parked") == []
