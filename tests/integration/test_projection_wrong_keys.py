"""A key of a wrong type among others is refused as any value is, and stops nobody."""

from typing import Any

import pytest
from psycopg import AsyncConnection

from tests.support.fresh import Fresh
from wepeople_projections import Event, OperationError, Projection, Row, insert, on_event, table
from wepeople_projections.batch.changes import Changes
from wepeople_projections.definition.projection import define
from wepeople_projections.postgres.about import About
from wepeople_projections.postgres.ddl import create_schema
from wepeople_projections.postgres.write import refused, write_changes


@table(key=("service",))
class Deployed(Row, frozen=True):
    service: str


class Deploys(Projection):
    name = "wrong_keys"
    version = 1
    tables = (Deployed,)

    @on_event()
    def deployed(self, event: Event) -> None:
        pass


@pytest.mark.parametrize("wrong", [None, 7])
async def test_keys_that_cannot_be_sorted_are_refused_by_the_name_of_their_column(fresh: Fresh, wrong: Any) -> None:
    definition = define(Deploys)
    about = About(name="wrong_keys", version=1, source="x", code_sha256="c", tables_sha256="t")
    async with await AsyncConnection.connect(fresh.dsn("analyst"), autocommit=True) as connection:
        await create_schema(connection, definition, definition.schema, about)
        changes = Changes(definition.tables)
        for service in ("shop", wrong):
            changes.apply("acme", [insert(Deployed(org_id="acme", service=service))])
        with pytest.raises(OperationError, match=r"Deployed\.service is (None|7), but the column") as raised:
            async with connection.transaction():
                await write_changes(connection, definition.schema, changes)
        assert refused(raised.value)
