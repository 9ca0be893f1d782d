"""The fingerprint of a projection's tables: another one for any tables that the stored ones would not fit."""

from typing import Annotated, Any

import pytest
from msgspec import Meta

from wepeople_projections import First, Instant, Projection, Row, SmallInt, Sum, on_event, table
from wepeople_projections.definition.projection import define
from wepeople_projections.postgres.ddl import tables_sha256


def fingerprint(columns: dict[str, Any], *, extra: tuple[type[Row], ...] = (), **options: Any) -> str:
    row: Any = type("Thing", (Row,), {"__annotations__": columns, "__doc__": options.pop("doc", "")})
    tables = (table(**({"key": ("name",)} | options))(row), *extra)

    class Things(Projection):
        name = "things"
        version = 1

        @on_event()
        def nothing(self, event: object) -> None:
            return None

    Things.tables = tables
    return tables_sha256(define(Things))


PLAIN: dict[str, Any] = {"name": str, "number": int, "at": Instant}


@table(key=("name",))
class Other(Row, frozen=True):
    name: str


@pytest.mark.parametrize(
    "other",
    [
        fingerprint(PLAIN | {"more": int}),
        fingerprint(PLAIN | {"number": SmallInt}),
        fingerprint(PLAIN | {"number": int | None}),
        fingerprint(PLAIN | {"number": Sum[int]}),
        fingerprint(PLAIN | {"number": First[int]}),
        fingerprint({"name": str, "at": Instant, "number": int}),
        fingerprint(PLAIN, name="others"),
        fingerprint(PLAIN, key=("name", "number")),
        fingerprint(PLAIN, key=("name",), key_is_global=True),
        fingerprint(PLAIN, indexes=(("org_id", "number"),)),
        fingerprint(PLAIN, newest_by=("number",)),
        fingerprint(PLAIN, expires_by="at"),
        fingerprint(PLAIN, extra=(Other,)),
        fingerprint(PLAIN, key=("name", "at")),
        fingerprint(PLAIN, key=("name", "at"), by_month="at"),
    ],
)
def test_other_tables_have_another_fingerprint(other: str) -> None:
    assert other != fingerprint(PLAIN)


def test_a_table_kept_by_month_is_another_than_one_with_its_key_and_by_another_column_too() -> None:
    two = PLAIN | {"then": Instant}
    found = {fingerprint(two, key=("name", "at", "then"), by_month=column) for column in (None, "at", "then")}
    assert len(found) == 3


def test_what_is_only_said_of_tables_or_of_how_they_are_written_does_not_count() -> None:
    said = PLAIN | {"number": Annotated[int, Meta(description="How many.")]}
    assert fingerprint(said, doc="What there is.", in_key_order=True) == fingerprint(PLAIN)


def test_how_long_months_are_kept_does_not_count() -> None:
    for_ever = fingerprint(PLAIN, key=("name", "at"), by_month="at")
    assert fingerprint(PLAIN, key=("name", "at"), by_month="at", keep_days=30) == for_ever
