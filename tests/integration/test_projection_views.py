"""What readers of a promoted projection see: views of the version that serves, rows of their own org, and what is said
of each column.
"""

import secrets
from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any, ClassVar

import pytest
from msgspec import Meta
from psycopg import AsyncConnection

from tests.support.fresh import Fresh
from tests.support.read_models import query
from wepeople_chassis.postgres import make_pool
from wepeople_projections import DefinitionError, Projection, ProjectionError, Row, on_event, table
from wepeople_projections.definition.projection import define
from wepeople_projections.postgres.about import About, read_about, schema_exists, set_code
from wepeople_projections.postgres.ddl import create_schema
from wepeople_projections.postgres.views import drop_views, serve, serving_version
from wepeople_projections.versions.swapping import LeftBehindError
from wepeople_projections.versions.swapping import promote as swap_in
from wepeople_provision.dsn import login_dsn
from wepeople_provision.readers import create_reader


@table(key=("name",))
class Thing(Row, frozen=True):
    """What there is; it's counted."""

    name: Annotated[str, Meta(description="Its owner's name for it.")]
    number: int


@table(key=("name",), name="thing")
class OtherThing(Row, frozen=True):
    """The same, with its number as text."""

    name: str
    number: str


class Things(Projection):
    name = "things"
    version = 1
    tables = (Thing,)
    views: ClassVar[Mapping[str, str]] = {"names": "SELECT org_id, name FROM {schema}.thing WHERE name LIKE '%s%%'"}

    @on_event()
    def nothing(self, event: object) -> None:
        return None


class MoreThings(Things):
    version = 2
    views: ClassVar[Mapping[str, str]] = {}


class OtherThings(Projection):
    name = "things"
    version = 3
    tables = (OtherThing,)

    @on_event()
    def nothing(self, event: object) -> None:
        return None


@pytest.fixture
async def analyst(fresh: Fresh) -> AsyncIterator[AsyncConnection[Any]]:
    """With three versions, each with a row of two orgs, and none of them promoted."""
    async with await AsyncConnection.connect(fresh.dsn("analyst"), autocommit=True) as connected:
        for projection in (Things, MoreThings, OtherThings):
            definition = define(projection)
            about = About(name="things", version=definition.version, source="", code_sha256="", tables_sha256="")
            await create_schema(connected, definition, definition.schema, about)
            for org_id in ("org_1", "org_2"):
                await connected.execute(
                    f"INSERT INTO {definition.schema}.thing VALUES (%s, 's%%s', %s)", [org_id, str(definition.version)]
                )
        yield connected


async def promote(analyst: AsyncConnection[Any], version: int) -> None:
    async with analyst.transaction():
        await serve(analyst, "things", f"things_v{version}")


async def test_readers_see_the_version_that_serves_and_no_other(fresh: Fresh, analyst: AsyncConnection[Any]) -> None:
    assert await serving_version(analyst, "things") is None
    for version in (1, 2, 1):
        await promote(analyst, version)
        seen = await query(fresh.dsn("operator"), "SELECT DISTINCT number FROM things.thing")
        assert seen == [{"number": version}]
        assert await serving_version(analyst, "things") == version
        served = [v for v in (1, 2, 3) if (await read_about(analyst, f"things_v{v}")).serving_since]
        assert served == [version]


@pytest.mark.parametrize(
    ("select", "words"),
    [
        ("SELEC 1", 'syntax error at or near "SELEC"'),
        ("SELECT nothing FROM {schema}.thing", 'column "nothing" does not exist'),
        ("SELECT org_id FROM {schema}.nowhere", r'relation "things_v9\.nowhere" does not exist'),
        ("SELECT 1; COMMIT", "cannot insert multiple commands"),
        ("SELECT 1, 2", r'column "\?column\?" specified more than once'),
        ("SELECT '\ud800'", "surrogates not allowed"),
    ],
)
async def test_a_view_that_cannot_be_made_is_told_by_its_name_before_anything_is_built(
    analyst: AsyncConnection[Any], select: str, words: str
) -> None:
    class Wrong(Things):
        version = 9
        views: ClassVar[Mapping[str, str]] = {"right": "SELECT 1 FROM {schema}.thing", "wrong": select}

    about = About(name="things", version=9, source="", code_sha256="", tables_sha256="")
    with pytest.raises(DefinitionError, match=f"^view wrong: Postgres cannot make it: .*{words}"):
        await create_schema(analyst, define(Wrong), "things_v9", about)
    assert not await schema_exists(analyst, "things_v9")


async def test_a_reader_sees_its_orgs_rows_alone_in_tables_and_views(
    fresh: Fresh, analyst: AsyncConnection[Any]
) -> None:
    await promote(analyst, 1)
    role = f"test_reader_{secrets.token_hex(4)}"
    await create_reader(fresh.admin_dsn, fresh.dsn("projector"), role, "secret", "org_2")
    reader = login_dsn(fresh.admin_dsn, role, "secret")
    for view in ("things.thing", "things.names", "things_v1.thing"):
        assert await query(reader, f"SELECT org_id FROM {view}") == [{"org_id": "org_2"}]
        assert len(await query(fresh.dsn("operator"), f"SELECT org_id FROM {view}")) == 2


async def test_a_view_that_the_next_version_has_not_is_gone_and_comes_back_with_the_old_one(
    fresh: Fresh, analyst: AsyncConnection[Any]
) -> None:
    there = "SELECT to_regclass('things.names') IS NOT NULL AS it"
    for version, expected in ((1, True), (2, False), (1, True)):
        await promote(analyst, version)
        assert await query(fresh.dsn("operator"), there) == [{"it": expected}]


async def test_what_is_said_of_tables_and_columns_is_said_of_the_views(
    fresh: Fresh, analyst: AsyncConnection[Any]
) -> None:
    await promote(analyst, 1)
    said = (
        "SELECT obj_description('things.thing'::regclass) AS it, col_description('things.thing'::regclass, 2) AS name"
    )
    expected = [{"it": "What there is; it's counted.", "name": "Its owner's name for it."}]
    assert await query(fresh.dsn("operator"), said) == expected


async def test_what_somebody_built_on_a_view_stays_if_its_columns_stay(
    fresh: Fresh, analyst: AsyncConnection[Any]
) -> None:
    await promote(analyst, 1)
    await analyst.execute("CREATE SCHEMA mine")
    await analyst.execute("CREATE VIEW mine.total AS SELECT sum(number) AS n FROM things.thing")
    await promote(analyst, 2)
    assert await query(fresh.admin_dsn, "SELECT n::int FROM mine.total") == [{"n": 4}]
    with pytest.raises(ProjectionError, match=r"things\.thing cannot be replaced.*mine\.total"):
        await promote(analyst, 3)
    assert await serving_version(analyst, "things") == 2
    await analyst.execute("DROP SCHEMA mine CASCADE")
    await promote(analyst, 3)
    assert await query(fresh.dsn("operator"), "SELECT DISTINCT number FROM things.thing") == [{"number": "3"}]


async def test_a_projection_can_be_taken_away_from_its_readers(fresh: Fresh, analyst: AsyncConnection[Any]) -> None:
    await promote(analyst, 1)
    await drop_views(analyst, "things")
    assert await query(fresh.admin_dsn, "SELECT to_regnamespace('things') AS it") == [{"it": None}]


async def test_what_else_is_in_the_readers_schema_stays_when_the_projection_is_taken_away(
    fresh: Fresh, analyst: AsyncConnection[Any]
) -> None:
    await promote(analyst, 1)
    await analyst.execute("CREATE TABLE things.mine AS SELECT 7 AS n")
    await drop_views(analyst, "things")
    assert await query(fresh.admin_dsn, "SELECT n FROM things.mine") == [{"n": 7}]
    assert await query(fresh.admin_dsn, "SELECT to_regclass('things.thing') AS it") == [{"it": None}]


async def test_what_somebody_made_in_the_readers_schema_stays_whatever_is_promoted_and_after_it_is_taken_away(
    fresh: Fresh, analyst: AsyncConnection[Any]
) -> None:
    await promote(analyst, 1)
    await analyst.execute("CREATE VIEW things.total AS SELECT sum(number) AS n FROM things.thing")
    await analyst.execute("CREATE VIEW things.seven AS SELECT 7 AS n")
    await promote(analyst, 2)
    assert await query(fresh.admin_dsn, "SELECT n::int FROM things.total") == [{"n": 4}]
    with pytest.raises(ProjectionError, match=r"things\.thing cannot be replaced.*things\.total"):
        await drop_views(analyst, "things")
    await analyst.execute("DROP VIEW things.total")
    await drop_views(analyst, "things")
    assert await query(fresh.admin_dsn, "SELECT n FROM things.seven") == [{"n": 7}]
    await analyst.execute("CREATE VIEW things.thing AS SELECT 7 AS n")
    with pytest.raises(ProjectionError, match=r"things\.thing was made by somebody else"):
        await promote(analyst, 2)


@pytest.mark.parametrize("kind", ["VIEW", "TABLE", "MATERIALIZED VIEW"])
async def test_a_version_that_has_a_view_of_a_name_that_somebody_took_is_not_promoted(
    fresh: Fresh, analyst: AsyncConnection[Any], kind: str
) -> None:
    await promote(analyst, 2)
    await analyst.execute(f"CREATE {kind} things.names AS SELECT 7 AS n")
    with pytest.raises(ProjectionError, match=r"things\.names was made by somebody else.* Rename it"):
        await promote(analyst, 1)
    assert await serving_version(analyst, "things") == 2
    assert await query(fresh.admin_dsn, "SELECT n FROM things.names") == [{"n": 7}]
    await analyst.execute(f"DROP {kind} things.names")
    await promote(analyst, 1)


async def test_views_of_before_it_was_said_whose_they_are_are_known_by_what_the_versions_have(
    fresh: Fresh, analyst: AsyncConnection[Any]
) -> None:
    await promote(analyst, 1)
    await analyst.execute("CREATE VIEW things.seven AS SELECT 7 AS n")
    await analyst.execute("COMMENT ON SCHEMA things IS 'Ours.'")
    await promote(analyst, 2)
    left = await query(fresh.admin_dsn, "SELECT viewname FROM pg_views WHERE schemaname = 'things' ORDER BY 1")
    assert [line["viewname"] for line in left] == ["seven", "thing"]


async def test_a_view_that_the_class_had_when_it_was_promoted_goes_with_it(
    fresh: Fresh, analyst: AsyncConnection[Any]
) -> None:
    await promote(analyst, 1)
    await set_code(analyst, "things_v1", source="", code_sha256="", views={"thing": "SELECT * FROM {schema}.thing"})
    await promote(analyst, 2)
    assert await query(fresh.admin_dsn, "SELECT to_regclass('things.names') AS it") == [{"it": None}]


async def test_a_version_that_somebody_else_promoted_meanwhile_is_not_overtaken_unseen(
    fresh: Fresh, analyst: AsyncConnection[Any]
) -> None:
    await promote(analyst, 1)
    pool = make_pool(fresh.dsn("analyst"), "tests")
    await pool.open()
    try:
        for stale in (None, "things_v2"):
            with pytest.raises(LeftBehindError, match=r"(?i)somebody else has promoted"):
                await swap_in(pool, "things", "things_v3", stale)
        assert await serving_version(analyst, "things") == 1
        await swap_in(pool, "things", "things_v3", "things_v1")
        assert await serving_version(analyst, "things") == 3
    finally:
        await pool.close()
