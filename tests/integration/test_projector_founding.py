"""How a projector's start gets on with those who use its tables."""

import asyncio

import pytest
from psycopg import AsyncConnection

from tests.support.fresh import Fresh
from tests.support.read_models import eventually, query
from wepeople_chassis.postgres import act_for_org, make_pool
from wepeople_projections.commands.load import built_in_sources, load_source
from wepeople_projector.founding import found

WAITING = "SELECT count(*)::int AS waiting FROM pg_locks WHERE NOT granted"


async def test_it_lets_others_pass_while_it_waits_for_a_table_and_starts_once_it_is_free(fresh: Fresh) -> None:
    live = load_source(built_in_sources()["live"])
    async with (
        make_pool(fresh.dsn("projector"), "tests") as pool,
        await AsyncConnection.connect(fresh.dsn("projector"), autocommit=True) as projector,
        await AsyncConnection.connect(fresh.admin_dsn) as slow_reader,
    ):
        await found(pool, live)
        await projector.execute("ALTER TABLE live_v1.commits NO FORCE ROW LEVEL SECURITY")
        await projector.execute("DROP POLICY owner_folds_all_orgs ON live_v1.commits")
        await slow_reader.execute("SELECT FROM live_v1.commits")
        starting = asyncio.create_task(found(pool, live))

        async def waiting() -> int:
            return int((await query(fresh.admin_dsn, WAITING))[0]["waiting"])

        await eventually(waiting, bool, what="a start that waits for a table")
        async with asyncio.timeout(5):
            await projector.execute("SELECT FROM live_v1.commits")
        assert not starting.done()
        await slow_reader.rollback()
        async with asyncio.timeout(10):
            await starting


async def test_nobody_acts_for_the_org_without_a_name(fresh: Fresh) -> None:
    async with await AsyncConnection.connect(fresh.dsn("projector")) as projector:
        with pytest.raises(ValueError, match="one org"):
            await act_for_org(projector, "")
