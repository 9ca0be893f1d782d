"""What a proof compares, and that no difference is lost once it was seen."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from rich.console import Console

from tests.support.engines import Ground, ground_of
from tests.support.fresh import Fresh
from tests.support.poisoned import ORG, request
from tests.support.stored import founded
from tests.support.tally import POISON, Tally
from wepeople_projections import building, proving
from wepeople_projections.building import Workplace
from wepeople_projections.projection import Definition

SCHEMA = "tally_v1"


@pytest.fixture
async def ground(fresh: Fresh) -> AsyncIterator[Ground]:
    async with ground_of(fresh) as ready:
        yield ready


@pytest.fixture
async def tally(ground: Ground) -> Definition:
    """Built of two events, and one that cannot be applied."""
    definition = await ground.create(Tally)
    await ground.store(founded(ORG), request(("a", "w1"), ("b", "w2"), (POISON, "w1")))
    await ground.build(definition)
    return definition


def place(ground: Ground) -> Workplace:
    return Workplace(ground.connection, ground.pool, Console(stderr=True), as_json=True)


async def prove(ground: Ground, tally: Definition) -> proving.Proof:
    proof = await proving.prove(place(ground), tally, SCHEMA)
    await proving.remember(place(ground), SCHEMA, proof)
    return proof


async def verified(ground: Ground) -> bool:
    return bool(await ground.rows(f"SELECT FROM {SCHEMA}.verified LIMIT 1"))


async def test_a_difference_that_is_gone_before_its_row_could_be_named_is_one(
    ground: Ground, tally: Definition, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ground.rows(f"UPDATE {SCHEMA}.count SET events = 6 WHERE event_type = 'a' RETURNING 1")
    build = building.build

    async def put_right_and_build(*arguments: Any) -> None:
        await ground.rows(f"UPDATE {SCHEMA}.count SET events = 1 WHERE event_type = 'a' RETURNING 1")
        await build(*arguments)

    monkeypatch.setattr(proving, "build", put_right_and_build)
    proof = await prove(ground, tally)
    assert proof.difference is not None
    for said in ("table count", ORG, "2 rows", "digest"):
        assert said in proof.difference
    assert not await verified(ground)
