"""`wepeople projection rebuild`: what an interrupted one may go on with, and what stands in its way."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from psycopg import AsyncConnection
from rich.console import Console

from tests.support.analyst import DEPLOYS, Analyst, analyst_of, built, deploy
from tests.support.engines import Ground, ground_of
from tests.support.fresh import Fresh
from tests.support.poisoned import ORG, request
from tests.support.read_models import query
from tests.support.stored import envelope, founded, store
from tests.support.tally import Tally
from wepeople_projections.commands.load import Loaded
from wepeople_projections.definition.projection import Definition
from wepeople_projections.replay import building
from wepeople_projections.replay.building import Workplace
from wepeople_projections.running.options import RunOptions
from wepeople_projections.versions import rebuilding

HELPER = "def service_of(event):\n    return event.metadata['service']\n"
HELPED = "import deploys_helper\n" + DEPLOYS.replace('event.metadata["service"]', "deploys_helper.service_of(event)")


@pytest.fixture
async def analyst(fresh: Fresh, tmp_path: Path) -> AsyncIterator[Analyst]:
    """With two requests of three deploys each, one that cannot be taken, and two more."""
    async with analyst_of(fresh, tmp_path) as ready:
        await ready.store(2)
        await store(ready.connection, envelope(ready.org_id, [deploy(None)]))
        await ready.store(2)
        yield ready


async def test_what_was_built_with_other_code_is_not_gone_on_with(analyst: Analyst) -> None:
    analyst.write(HELPER, "deploys_helper.py")
    await built(analyst, [analyst.write(HELPED)])
    stopped = await analyst.projection("rebuild", "deploys")
    assert (stopped.code, "has stopped before" in stopped.stderr) == (1, True)
    mended = HELPER.replace("['service']", ".get('service', 'none') + '-new'")
    analyst.write(mended, "deploys_helper.py")
    rebuilt = await analyst.projection("rebuild", "deploys")
    assert rebuilt.code == 0, rebuilt.stderr
    assert await analyst.deploys() == {"api-new": 4, "web-new": 4, "jobs-new": 4, "none-new": 1}


async def test_what_was_parked_when_that_was_asked_for_is_not_kept_when_it_is_asked_to_stop(analyst: Analyst) -> None:
    await built(analyst, [analyst.write()])
    first = await analyst.projection("rebuild", "deploys")
    assert (first.code, "message 4" in first.stderr) == (1, True)
    await analyst.rows(
        "WITH m AS (INSERT INTO deploys_v1_rebuild.parked_messages VALUES (7, '', '', now(), '', 0) RETURNING 1) "
        "INSERT INTO deploys_v1_rebuild.parked VALUES (7, 0, '', '', 'parked', '', 0, now(), NULL, 0) RETURNING 1"
    )
    second = await analyst.projection("rebuild", "deploys")
    assert (second.code, "message 4" in second.stderr) == (1, True)
    assert await analyst.rows("SELECT FROM deploys_v1_rebuild.parked WHERE status = 'parked'") == []


async def test_a_view_on_the_tables_themselves_is_named_before_anything_is_built(analyst: Analyst) -> None:
    await built(analyst, [analyst.write()])
    async with await AsyncConnection.connect(analyst.fresh.admin_dsn) as admin:
        await admin.execute("CREATE VIEW public.mine AS SELECT * FROM deploys_v1.per_service")
    refused = await analyst.projection("rebuild", "deploys", "--on-poison", "park")
    assert (refused.code, "public.mine" in refused.stderr) == (1, True)
    assert await analyst.rows("SELECT to_regnamespace('deploys_v1_rebuild') AS it") == [{"it": None}]


async def test_nothing_gives_way_while_the_old_version_stands_still(
    fresh: Fresh, monkeypatch: pytest.MonkeyPatch
) -> None:
    polite = []

    async def build(place: Workplace, definition: Definition, schema: str, options: RunOptions, what: None) -> None:
        locked = await query(
            fresh.admin_dsn,
            "SELECT FROM pg_locks WHERE mode = 'ExclusiveLock' AND relation = %(of)s::regclass",
            {"of": "tally_v1.checkpoint"},
        )
        polite.append((bool(locked), options.gives_way))
        await building.build(place, definition, schema, options, what)

    monkeypatch.setattr(rebuilding, "build", build)
    async with ground_of(fresh) as ground:
        await _rebuild(ground)
    assert polite == [(False, True), (True, False)]


async def test_what_cannot_be_brought_near_does_not_stand_still(fresh: Fresh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebuilding, "NEAR_SECONDS", -1.0)
    monkeypatch.setattr(rebuilding, "MAX_ROUNDS", 2)
    async with ground_of(fresh) as ground:
        with pytest.raises(rebuilding.RebuildError, match="written to faster"):
            await _rebuild(ground)


async def _rebuild(ground: Ground) -> None:
    definition = await ground.create(Tally)
    await ground.store(founded(ORG), request(("a", "w1")))
    await ground.build(definition)
    place = Workplace(ground.connection, ground.pool, Console(stderr=True), as_json=True)
    await rebuilding.rebuild(place, Loaded(definition, "tests", ""), definition.schema, "stop")
