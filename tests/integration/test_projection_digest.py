"""A digest covers every column of every table that the stream decides about, and a difference is named."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from psycopg import AsyncConnection
from psycopg.types.json import Json as PsycopgJson
from psycopg.types.json import Jsonb as PsycopgJsonb

from tests.support.fresh import Fresh
from wepeople_projections import Instant, Json, Jsonb, Projection, RawText, Row, SmallInt, on_event, table
from wepeople_projections.definition.projection import define
from wepeople_projections.postgres.about import About
from wepeople_projections.postgres.ddl import create_schema
from wepeople_projections.postgres.digest import digests, first_difference, keys_of

ORG, OTHER = "org_1", "org_2"


@table(key=("name",))
class Everything(Row, frozen=True):
    name: str
    text: str | None
    raw: RawText
    number: int
    small: SmallInt
    exact: Decimal
    inexact: float
    yes: bool
    day: date
    moment: datetime
    instant: Instant
    data: bytes
    texts: list[str]
    as_sent: Json
    for_queries: Jsonb


class Full(Projection):
    name = "full"
    version = 1
    tables = (Everything,)

    @on_event()
    def nothing(self, event: object) -> None:
        return None


DEFINITION = define(Full)
MOMENT = datetime(2026, 4, 1, 9, tzinfo=UTC)
VALUES: dict[str, Any] = {
    "text": None,
    "raw": "raw",
    "number": 1,
    "small": 1,
    "exact": Decimal("1.0"),
    "inexact": 0.1,
    "yes": True,
    "day": date(2026, 4, 1),
    "moment": MOMENT,
    "instant": MOMENT,
    "data": b"\0\1",
    "texts": ["a"],
    "as_sent": PsycopgJson({"a": 1}),
    "for_queries": PsycopgJsonb({"a": 1}),
}
FLIPPED: dict[str, Any] = {
    "text": "",
    "raw": "raw ",
    "number": 2,
    "small": 2,
    "exact": Decimal("1.00"),
    "inexact": 0.1 + 2**-55,
    "yes": False,
    "day": date(2026, 4, 2),
    "moment": MOMENT.replace(microsecond=1),
    "instant": MOMENT.replace(microsecond=1),
    "data": b"\0\2",
    "texts": ["a", ""],
    "as_sent": PsycopgJson({"a": 2}),
    "for_queries": PsycopgJsonb({"a": 1, "b": None}),
}
RUNTIME: dict[str, dict[str, Any]] = {
    "orgs": {"name": "Other", "salt": b"pepper", "founded_at": MOMENT.replace(microsecond=1)},
    "identifiers": {"worker_id": "wrk_2"},
}


@pytest.fixture
async def connection(fresh: Fresh) -> AsyncIterator[AsyncConnection[Any]]:
    """With two schemas of the same content."""
    async with await AsyncConnection.connect(fresh.dsn("analyst"), autocommit=True) as connected:
        for schema in ("full_v1", "full_v1_check"):
            about = About(name="full", version=1, source="", code_sha256="", tables_sha256="")
            await create_schema(connected, DEFINITION, schema, about)
            for org_id in (OTHER, ORG):
                for name in ("b", "a"):
                    row = {"org_id": org_id, "name": name, **VALUES}
                    columns, places = ", ".join(row), ", ".join(f"%({name})s" for name in row)
                    await connected.execute(f"INSERT INTO {schema}.everything ({columns}) VALUES ({places})", row)
                await connected.execute(
                    f"INSERT INTO {schema}.orgs VALUES (%s, 'Org', %s, %s)", [org_id, b"salt", MOMENT]
                )
                await connected.execute(
                    f"INSERT INTO {schema}.identifiers VALUES (%s, 'email', %s, 'alex', 'wrk_1')", [org_id, org_id]
                )
                await connected.execute(f"INSERT INTO {schema}.named_events VALUES (%s, %s)", [org_id, f"evt_{org_id}"])
        yield connected


async def difference(connection: AsyncConnection[Any]) -> str | None:
    """Whether the two schemas differ, by digest and by the row that is named."""
    here = await digests(connection, "full_v1", keys_of(DEFINITION))
    there = await digests(connection, "full_v1_check", keys_of(DEFINITION))
    found = await first_difference(connection, "full_v1", connection, "full_v1_check", DEFINITION)
    assert (here == there) == (found is None)
    assert (here.of_partitions() == there.of_partitions()) == (found is None)
    return None if found is None else str(found)


async def test_the_same_rows_have_the_same_digest_in_whatever_order_and_formats(
    connection: AsyncConnection[Any],
) -> None:
    assert await difference(connection) is None
    before = await digests(connection, "full_v1", keys_of(DEFINITION))
    await connection.execute("CREATE TABLE full_v1.copy AS SELECT * FROM full_v1.everything ORDER BY name, org_id")
    await connection.execute("DELETE FROM full_v1.everything")
    await connection.execute("INSERT INTO full_v1.everything SELECT * FROM full_v1.copy")
    await connection.execute("SET TimeZone = 'Asia/Tokyo'; SET DateStyle = 'German'; SET extra_float_digits = -10")
    await connection.execute("SET bytea_output = 'escape'")
    assert await digests(connection, "full_v1", keys_of(DEFINITION)) == before
    assert before.of_table("everything").rows == 4


def test_every_kind_of_column_is_flipped() -> None:
    assert VALUES.keys() == FLIPPED.keys() == set(Everything.__struct_fields__) - {"org_id", "name"}


@pytest.mark.parametrize("column", FLIPPED)
async def test_one_value_that_is_another_is_found_and_named(connection: AsyncConnection[Any], column: str) -> None:
    await connection.execute(
        f"UPDATE full_v1.everything SET {column} = %s WHERE org_id = %s AND name = 'b'", [FLIPPED[column], ORG]
    )
    named = await difference(connection)
    assert named is not None
    assert f"table everything, org {ORG}, row ({ORG},b): " in named
    assert f"{column} is " in named or column == "exact"


@pytest.mark.parametrize(("table_name", "column"), [(t, c) for t, columns in RUNTIME.items() for c in columns])
async def test_who_is_who_is_compared_as_well(connection: AsyncConnection[Any], table_name: str, column: str) -> None:
    value = RUNTIME[table_name][column]
    await connection.execute(f"UPDATE full_v1.{table_name} SET {column} = %s WHERE org_id = %s", [value, ORG])
    named = await difference(connection)
    assert named is not None
    assert f"table {table_name}, org {ORG}" in named
    assert "pepper" not in named


async def test_a_key_an_org_or_a_row_more_or_less_is_found(connection: AsyncConnection[Any]) -> None:
    await connection.execute("DELETE FROM full_v1.named_events WHERE org_id = %s", [ORG])
    assert "named_events" in str(await difference(connection))
    await connection.execute("DELETE FROM full_v1.everything WHERE org_id = %s AND name = 'a'", [ORG])
    assert f"row ({ORG},a): the stream makes it, but it is not there" in str(await difference(connection))
    await connection.execute("DELETE FROM full_v1_check.everything WHERE org_id = %s", [ORG])
    assert f"row ({ORG},b): it is there, but the stream does not make it" in str(await difference(connection))
