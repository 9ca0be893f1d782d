"""What a proof compares, and that no difference is lost once it was seen."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from rich.console import Console

from tests.support.engines import Ground, ground_of
from tests.support.fresh import Fresh
from tests.support.poisoned import ORG, decide, mended, request
from tests.support.stored import founded
from tests.support.tally import POISON, Tally
from wepeople_contracts.subjects import partition_of
from wepeople_projections.definition.projection import Definition
from wepeople_projections.replay import building
from wepeople_projections.replay.building import Workplace
from wepeople_projections.versions import proving

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


@pytest.mark.parametrize(
    "forged",
    [
        "parked_messages SET data = data || 'x'::bytea",
        "parked_messages SET subject = 'ingest.x'",
        "parked_messages SET message_id = 'm'",
        "parked SET worker_id = 'wrk_other'",
        "parked SET org_id = 'org_b'",
    ],
)
async def test_a_parked_row_that_is_not_as_the_stream_has_it_is_a_difference(
    ground: Ground, tally: Definition, forged: str
) -> None:
    assert (await prove(ground, tally)).difference is None
    await ground.rows(f"UPDATE {SCHEMA}.{forged} RETURNING 1")
    proof = await prove(ground, tally)
    assert proof.difference is not None
    assert (
        f"row 2 of message 2 of partition {partition_of(ORG)} is parked, but not as the stream has it"
        in proof.difference
    )
    assert not await verified(ground)


async def test_where_rows_were_retried_a_difference_may_come_of_that_and_it_is_said(
    ground: Ground, tally: Definition
) -> None:
    await ground.store(request((POISON, "w9")), request(("a", "w9")))
    await ground.build(tally)
    await decide(ground, "retry", schema=SCHEMA, sequence=3, row=0)
    cured = mended(Tally)
    await ground.build(cured)
    proof = await proving.prove(place(ground), cured, SCHEMA)
    assert proof.difference is not None
    assert "1 row was parked and applied by a retry" in proof.difference
