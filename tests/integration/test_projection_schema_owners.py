"""Whose schemas are taken for projections: only those of the roles that may have them, and only well-formed names."""

from typing import Any

import pytest
from psycopg import AsyncConnection
from psycopg import sql as composing

from tests.integration.test_projection_schema import ABOUT, DEFINITION
from tests.support.fresh import Fresh
from wepeople_projections import ProjectionError
from wepeople_projections.postgres.about import read_about, schemas
from wepeople_projections.postgres.ddl import create_schema, drop_schema
from wepeople_projections.postgres.views import serving_version

HOSTILE = ("x_v1.about;DROP SCHEMA things_v1 --_v1", "Things_v1", "x y_v1", 'x"_v1', "x_v01", "x_v1\n_v2")


async def connect(fresh: Fresh, who: str) -> AsyncConnection[Any]:
    return await AsyncConnection.connect(fresh.dsn(who), autocommit=True)


async def plant(connection: AsyncConnection[Any], schema: str, columns: str) -> None:
    """A schema with a table `about`, for everybody to read."""
    name, public = composing.Identifier(schema), composing.SQL(" TO PUBLIC")
    await connection.execute(composing.SQL("CREATE SCHEMA {}").format(name))
    table = composing.Identifier(schema, "about")
    await connection.execute(composing.SQL("CREATE TABLE {} ").format(table) + composing.SQL(columns))
    await connection.execute(composing.SQL("GRANT USAGE ON SCHEMA {}").format(name) + public)
    await connection.execute(composing.SQL("GRANT SELECT ON {}").format(table) + public)


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_name_that_no_version_can_have_is_never_listed_and_never_part_of_a_statement(
    fresh: Fresh, name: str
) -> None:
    async with await connect(fresh, "analyst") as analyst, await connect(fresh, "operator") as operator:
        await create_schema(analyst, DEFINITION, "things_v1", ABOUT)
        await plant(analyst, name, "AS TABLE things_v1.about")
        assert await schemas(operator) == ["things_v1"]
        with pytest.raises(ProjectionError, match="There is no"):
            await read_about(operator, name)
        await drop_schema(analyst, name)
        assert await schemas(analyst) == ["things_v1"], "the name was no statement"


@pytest.mark.parametrize("columns", ["(x int)", "AS TABLE things_v1.about"])
async def test_an_analysts_schema_is_no_version_of_a_built_in_projection(fresh: Fresh, columns: str) -> None:
    async with await connect(fresh, "analyst") as analyst, await connect(fresh, "projector") as projector:
        await create_schema(analyst, DEFINITION, "things_v1", ABOUT)
        await analyst.execute("UPDATE things_v1.about SET serving_since = now()")
        await plant(analyst, "live_v2", columns)
        assert await serving_version(projector, "live") is None
        async with await connect(fresh, "operator") as operator:
            assert await schemas(operator) == ["things_v1"]
        await create_schema(projector, DEFINITION, "live_v1", ABOUT)
        assert "live_v1" in await schemas(projector)


async def test_what_others_own_and_what_has_other_columns_is_passed_over(fresh: Fresh) -> None:
    async with await connect(fresh, "admin") as admin, await connect(fresh, "analyst") as analyst:
        await create_schema(analyst, DEFINITION, "things_v1", ABOUT)
        await plant(analyst, "others_v1", "(x int)")
        await plant(analyst, "odd_v1", "AS SELECT name::bytea AS name FROM things_v1.about")
        await create_schema(admin, DEFINITION, "admins_v1", ABOUT)
        async with await connect(fresh, "operator") as operator:
            assert await schemas(operator) == ["things_v1"]
        assert await schemas(admin) == ["admins_v1", "things_v1"]
