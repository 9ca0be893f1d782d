"""The schema of a version: made whole or not at all, what it says of itself, and who may see what in it."""

import secrets
from collections.abc import AsyncIterator
from typing import Annotated, Any

import psycopg
import pytest
from msgspec import Meta
from psycopg import AsyncConnection

from tests.support.fresh import Fresh
from tests.support.read_models import query
from wepeople_projections import DefinitionError, Projection, ProjectionError, Row, on_event, table
from wepeople_projections.definition.projection import define
from wepeople_projections.definition.selection import Selection
from wepeople_projections.postgres.about import (
    About,
    read_about,
    schema_exists,
    schemas,
    set_code,
    set_on_poison,
    set_paused,
)
from wepeople_projections.postgres.ddl import create_schema, drop_schema
from wepeople_projections.postgres.views import drop_views, serve
from wepeople_provision.dsn import login_dsn
from wepeople_provision.readers import create_reader


@table(key=("name",), indexes=(("org_id", "-number"),))
class Thing(Row, frozen=True):
    name: Annotated[str, Meta(description="Its owner's name for it.")]
    number: int


class Things(Projection):
    name = "things"
    version = 1
    tables = (Thing,)

    @on_event()
    def nothing(self, event: object) -> None:
        return None


DEFINITION = define(Things)
ABOUT = About(
    name="things",
    version=1,
    source="/somewhere/things.py:Things",
    code_sha256="code",
    tables_sha256="tables",
    selection=Selection(from_sequence=7, org_ids=("org_1",)),
    on_poison="stop",
    ordered=True,
)


@pytest.fixture
async def analyst(fresh: Fresh) -> AsyncIterator[AsyncConnection[Any]]:
    async with await AsyncConnection.connect(fresh.dsn("analyst"), autocommit=True) as connection:
        await create_schema(connection, DEFINITION, "things_v1", ABOUT)
        yield connection


async def test_a_schema_says_what_it_was_made_from(analyst: AsyncConnection[Any]) -> None:
    about = await read_about(analyst, "things_v1")
    assert about.created_at is not None
    assert about.serving_since is None
    made = (about.source, about.code_sha256, about.tables_sha256, about.selection, about.on_poison, about.ordered)
    assert made == (ABOUT.source, "code", "tables", ABOUT.selection, "stop", True)
    await set_paused(analyst, "things_v1", True)
    await set_on_poison(analyst, "things_v1", "park")
    await set_code(analyst, "things_v1", source="there", code_sha256="newer", views={"it": "SELECT 1"})
    now = await read_about(analyst, "things_v1")
    assert (now.paused, now.on_poison, now.source, now.code_sha256) == (True, "park", "there", "newer")
    assert now.views == {"it": "SELECT 1"}


async def test_code_whose_views_cannot_be_made_is_not_taken(analyst: AsyncConnection[Any]) -> None:
    with pytest.raises(DefinitionError, match=r"^view it: Postgres cannot make it: .*nowhere"):
        await set_code(analyst, "things_v1", source="", code_sha256="", views={"it": "SELECT 1 FROM {schema}.nowhere"})
    about = await read_about(analyst, "things_v1")
    assert (about.source, about.code_sha256, "it" in about.views) == (ABOUT.source, "code", False)


async def test_a_schema_that_is_there_is_not_made_again_and_stays_as_it_is(analyst: AsyncConnection[Any]) -> None:
    await analyst.execute("INSERT INTO things_v1.thing VALUES ('org_1', 'a', 1)")
    with pytest.raises(ProjectionError, match="things_v1 is there already"):
        await create_schema(analyst, DEFINITION, "things_v1", ABOUT)
    cursor = await analyst.execute("SELECT count(*) FROM things_v1.thing")
    assert await cursor.fetchone() == (1,)


async def test_who_may_not_make_schemas_is_told_so(fresh: Fresh) -> None:
    async with await AsyncConnection.connect(fresh.dsn("operator"), autocommit=True) as operator:
        with pytest.raises(ProjectionError, match="cannot make things_v1"):
            await create_schema(operator, DEFINITION, "things_v1", ABOUT)
        assert not await schema_exists(operator, "things_v1")


async def test_a_schema_whose_tables_are_shown_elsewhere_is_not_dropped(analyst: AsyncConnection[Any]) -> None:
    async with analyst.transaction():
        await serve(analyst, "things", "things_v1")
    with pytest.raises(ProjectionError, match=r"things_v1 serves things\.thing"):
        await drop_schema(analyst, "things_v1")
    await drop_views(analyst, "things")
    await drop_schema(analyst, "things_v1")
    assert not await schema_exists(analyst, "things_v1")
    await drop_schema(analyst, "things_v1")
    with pytest.raises(ProjectionError, match=r"(?i)there is no things_v1"):
        await read_about(analyst, "things_v1")


async def test_schemas_of_projections_are_listed_for_those_who_may_read_them(
    fresh: Fresh, analyst: AsyncConnection[Any]
) -> None:
    await create_schema(analyst, DEFINITION, "things_v1_check", ABOUT)
    await analyst.execute("CREATE SCHEMA mine_v1")
    assert {"things_v1", "things_v1_check"} <= set(await schemas(analyst))
    async with await AsyncConnection.connect(fresh.dsn("operator"), autocommit=True) as operator:
        assert {"things_v1", "things_v1_check"} <= set(await schemas(operator))
        assert "mine_v1" not in await schemas(operator)
        assert (await read_about(operator, "things_v1")).name == "things"
    async with await AsyncConnection.connect(fresh.dsn("quota"), autocommit=True) as quota:
        assert await schemas(quota) == []


async def test_every_table_with_rows_of_orgs_is_under_the_policies(analyst: AsyncConnection[Any]) -> None:
    cursor = await analyst.execute(
        """
        SELECT c.relname, c.relforcerowsecurity, array_agg(p.polname::text ORDER BY 1)
        FROM pg_attribute a
        JOIN pg_class c ON c.oid = a.attrelid AND c.relkind = 'r' AND a.attname = 'org_id'
        LEFT JOIN pg_policy p ON p.polrelid = c.oid
        WHERE c.relnamespace = 'things_v1'::regnamespace
        GROUP BY 1, 2
        """
    )
    found = {name: (is_secured, sorted(policies)) for name, is_secured, policies in await cursor.fetchall()}
    assert found == dict.fromkeys(
        ["commits", "identifiers", "named_events", "orgs", "parked", "thing"],
        (True, ["operator_sees_all", "owner_folds_all_orgs", "reader_sees_its_orgs"]),
    )


async def test_what_readers_and_operators_may_see_beside_the_tables(
    fresh: Fresh, analyst: AsyncConnection[Any]
) -> None:
    for org_id in ("org_1", "org_2"):
        await analyst.execute("INSERT INTO things_v1.orgs VALUES (%s, 'Org', 'salt', now())", [org_id])
        await analyst.execute(
            "INSERT INTO things_v1.identifiers VALUES (%s, 'email', %s, 'alex', 'wrk_1')", [org_id, org_id]
        )
    role = f"test_reader_{secrets.token_hex(4)}"
    await create_reader(fresh.admin_dsn, fresh.dsn("projector"), role, "secret", "org_1")
    reader, operator = login_dsn(fresh.admin_dsn, role, "secret"), fresh.dsn("operator")
    assert await query(reader, "SELECT org_id FROM things_v1.identifiers") == [{"org_id": "org_1"}]
    assert len(await query(operator, "SELECT org_id, name, founded_at FROM things_v1.orgs")) == 2
    hidden = [(operator, "SELECT salt FROM things_v1.orgs"), (operator, "DELETE FROM things_v1.thing")]
    hidden += [(reader, f"SELECT * FROM things_v1.{name}") for name in ("orgs", "parked", "parked_messages", "about")]
    for dsn, statement in hidden:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await query(dsn, statement)


async def test_an_analyst_has_no_part_in_what_others_own(fresh: Fresh) -> None:
    for statement in (
        "DROP SCHEMA live CASCADE",
        "SELECT * FROM live.reader_orgs",
        "CREATE TABLE live.mine (a int)",
        "SELECT * FROM auth.keys",
        "CREATE ROLE mine",
        "SET ROLE wepeople_projector",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await query(fresh.dsn("analyst"), statement)
