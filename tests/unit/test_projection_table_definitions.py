"""What a table, a column and an operation may be, and what is said of one that cannot."""

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any

import pytest
from msgspec import Meta, defstruct

from wepeople_projections import (
    DefinitionError,
    First,
    Greatest,
    Instant,
    Json,
    Jsonb,
    Known,
    Least,
    OperationError,
    RawText,
    Row,
    SmallInt,
    Sum,
    United,
    add,
    delete,
    insert,
    sql,
    table,
    upsert,
)
from wepeople_projections.definition.columns import Kind, Merge
from wepeople_projections.definition.operations import Add, Delete, Insert, Sql, Upsert
from wepeople_projections.definition.table import RESERVED, spec_of


def _said(define_it: Callable[[], Any]) -> str:
    with pytest.raises(DefinitionError) as raised:
        define_it()
    assert str(raised.value) == f"{raised.value.where}: {raised.value.problem}"
    return str(raised.value)


def _row(hint: Any, **members: Any) -> type[Row]:
    return type("Shipped", (Row,), {"__annotations__": {"value": hint}, "__module__": __name__, **members})


def _table_of(hint: Any, **arguments: Any) -> Callable[[], Any]:
    return lambda: table(key=(), **arguments)(_row(hint))


@table(key=("week", "service"), indexes=(("-week",),))
class DeploysPerWeek(Row, frozen=True):
    """How often a service was deployed
    in a week.
    """

    week: Annotated[date, Meta(description="Its Monday.")]
    service: str
    deploys: Sum[int] = 0


@table(key=("event_id",), name="deploys", key_is_global=True, in_key_order=True)
class Deploy(Row, frozen=True):
    event_id: str
    note: str | None = None


@table(key=("worker_id",), newest_by=("at",))
class Latest(Row, frozen=True):
    worker_id: str
    at: int


Named: Any = _table_of(str)()


def test_a_table_has_its_columns_key_and_name_from_its_class() -> None:
    spec = spec_of(DeploysPerWeek)
    assert (spec.name, spec.names) == ("deploys_per_week", ("org_id", "week", "service", "deploys"))
    assert spec.key == ("org_id", "week", "service")
    assert spec.indexes == (("-week",),)
    assert spec.description == "How often a service was deployed in a week."
    assert [column.description for column in spec.columns] == ["", "Its Monday.", "", ""]
    assert spec.key_of_org
    assert spec.can_add


def test_a_global_key_has_no_org_in_it() -> None:
    spec = spec_of(Deploy)
    assert (spec.name, spec.key, spec.key_of_org, spec.can_add) == ("deploys", ("event_id",), False, False)


def test_an_empty_key_means_one_row_for_each_org() -> None:
    @table(key=())
    class Total(Row, frozen=True):
        events: Sum[int]

    assert spec_of(Total).key == ("org_id",)


@pytest.mark.parametrize(
    ("hint", "kind", "optional", "merge"),
    [
        (str, Kind.TEXT, False, Merge.REPLACE),
        (int, Kind.INTEGER, False, Merge.REPLACE),
        (bool | None, Kind.BOOLEAN, True, Merge.REPLACE),
        (float, Kind.FLOAT, False, Merge.REPLACE),
        (Decimal, Kind.DECIMAL, False, Merge.REPLACE),
        (date, Kind.DATE, False, Merge.REPLACE),
        (datetime, Kind.DATETIME, False, Merge.REPLACE),
        (bytes, Kind.BYTES, False, Merge.REPLACE),
        (list[str] | None, Kind.TEXTS, True, Merge.REPLACE),
        (Instant, Kind.INSTANT, False, Merge.REPLACE),
        (SmallInt | None, Kind.SMALL_INTEGER, True, Merge.REPLACE),
        (RawText, Kind.RAW_TEXT, False, Merge.REPLACE),
        (Json, Kind.JSON, False, Merge.REPLACE),
        (Jsonb | None, Kind.JSONB, True, Merge.REPLACE),
        (First[Instant | None], Kind.INSTANT, True, Merge.FIRST),  # type: ignore[misc]
        (Known[str | None], Kind.TEXT, True, Merge.KNOWN),  # type: ignore[misc]
        (Annotated[Sum[Decimal], Meta(description="Money.")], Kind.DECIMAL, False, Merge.SUM),
        (Least[SmallInt], Kind.SMALL_INTEGER, False, Merge.LEAST),
        (Greatest[datetime], Kind.DATETIME, False, Merge.GREATEST),
        (United[list[str]], Kind.TEXTS, False, Merge.UNITED),
    ],
)
def test_a_type_names_a_column(hint: Any, kind: Kind, optional: bool, merge: Merge) -> None:
    column = spec_of(_table_of(hint)()).columns[1]
    assert (column.name, column.kind, column.optional, column.merge) == ("value", kind, optional, merge)


@pytest.mark.parametrize(
    ("hint", "problem"),
    [
        (dict[str, int], "is no type of a column. There are str, int, bool"),
        (str | int, "is no type of a column. There are str, int, bool"),
        (Sum[float], "only int and Decimal can be summed"),
        (Sum[SmallInt], "only int and Decimal can be summed"),
        (Sum[str], "only int and Decimal can be summed"),
        (Sum[int | None], "Sum needs a value: give it a default other than None"),  # type: ignore[misc]
        (Least[int | None], "Least needs a value: give it a default other than None"),  # type: ignore[misc]
        (United[list[str] | None], "United needs a value: give it a default other than None"),  # type: ignore[misc]
        (United[str], "only list[str] can be united"),
        (Least[list[str]], "Least is for what has an order, which list[str], RawText, Json, Jsonb have not"),
        (Greatest[Json], "Greatest is for what has an order, which list[str], RawText, Json, Jsonb have not"),
        (Greatest[RawText], "Greatest is for what has an order, which list[str], RawText, Json, Jsonb have not"),
        (Known[str], "Known is for a column that may be None"),
        (Sum[Least[int]], "two values of a column become one in one way only"),
    ],
)
def test_a_column_that_cannot_be_is_refused_by_name(hint: Any, problem: str) -> None:
    said = _said(_table_of(hint))
    assert said.startswith("Shipped.value: ")
    assert problem in said


def test_a_columns_name_is_lower_case() -> None:
    class Shipped(Row, frozen=True):
        howMany: int

    assert _said(lambda: table(key=())(Shipped)) == (
        "Shipped.howMany: a column's name is lower case: letters, digits and _, at most 48"
    )


@pytest.mark.parametrize("name", ["tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"])
def test_a_column_that_every_table_has_already_is_refused(name: str) -> None:
    shipped = defstruct("Shipped", [(name, int)], bases=(Row,), frozen=True)
    assert _said(lambda: table(key=())(shipped)) == (
        f"Shipped.{name}: every table of Postgres has a column of this name: choose another"
    )


def test_a_table_has_no_more_columns_than_postgres_takes() -> None:
    def wide(columns: int, key: int) -> Any:
        shipped = defstruct("Shipped", [(f"c{n}", int) for n in range(columns)], bases=(Row,), frozen=True)
        return table(key=[f"c{n}" for n in range(key)])(shipped)

    assert len(spec_of(wide(1_599, 31)).columns) == 1_600
    assert _said(lambda: wide(1_600, 1)) == "Shipped: it has 1,601 columns, and a table at most 1,600"
    assert _said(lambda: wide(40, 32)) == "Shipped: a key or an index has at most 32 columns, org_id among them"


def test_a_type_that_nobody_can_find_is_said_with_its_name() -> None:
    assert "Shipped: name 'Elsewhere' is not defined" in _said(_table_of("Elsewhere"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"key": ("nothing",)}, "Shipped: it has no column nothing"),
        ({"key": ("name",), "indexes": (("-gone", "name"),)}, "Shipped: it has no column gone"),
        ({"key": ("name",), "newest_by": ("gone",)}, "Shipped: it has no column gone"),
        ({"key": ("name",), "expires_by": "gone"}, "Shipped: it has no column gone"),
        ({"key": ("name",), "by_month": "gone"}, "Shipped: it has no column gone"),
        (
            {"key": ("name",), "by_month": "name"},
            "Shipped.name: the months of a table are those of an Instant, datetime or date",
        ),
        (
            {"key": ("name",), "by_month": "at"},
            "Shipped.at: the column by whose months a table is kept is one of its key",
        ),
        (
            {"key": ("name",), "keep_days": 30},
            'Shipped: keep_days lets whole months go: say by which column, such as by_month="occurred_at"',
        ),
        *(
            (
                {"key": ("at",), "by_month": "at", "keep_days": days},
                "Shipped: keep_days is a number of days from 1 to 36,500",
            )
            for days in (0, -1, 36_501, 1.5, True, "30")
        ),
        ({"key": ("price",)}, "Shipped.price: in a key there are plain str, int, bool, dates and instants, never None"),
        ({"key": ("note",)}, "Shipped.note: in a key there are plain str, int, bool, dates and instants, never None"),
        ({"key": ("first",)}, "Shipped.first: in a key there are plain str, int, bool, dates and instants, never None"),
        ({"key": "name"}, 'Shipped: key takes several columns, so write ("name",) for one'),
        ({"key": ("name",), "newest_by": "at"}, 'Shipped: newest_by takes several columns, so write ("at",) for one'),
        ({"key": ("name",), "indexes": ("at",)}, 'Shipped: indexes takes several columns, so write ("at",) for one'),
        ({"key": ("name", "name")}, "Shipped: key has a column twice"),
        ({"key": ("name",), "indexes": (("at", "-at"),)}, "Shipped: indexes has a column twice"),
        ({"key": ("name",), "indexes": (("body",),)}, "Shipped.body: Json has no order, so no index can have it"),
        ({"key": (), "key_is_global": True}, "Shipped: a key that is global has columns, but not org_id"),
        (
            {"key": ("org_id", "name"), "key_is_global": True},
            "Shipped: a key that is global has columns, but not org_id",
        ),
        ({"key": ("name",), "name": "Shipped"}, "Shipped: a table cannot be called 'Shipped'"),
        ({"key": ("name",), "name": "a" * 49}, f"Shipped: a table cannot be called '{'a' * 49}'"),
        *(({"key": ("name",), "name": name}, f"Shipped: a table cannot be called '{name}'") for name in RESERVED),
        (
            {"key": ("name",), "newest_by": ("at",)},
            "Shipped: newest_by replaces the whole row, so its columns cannot merge in other ways",
        ),
        (
            {"key": ("name",), "newest_by": ("note",)},
            "Shipped.note: what decides which row is newer is a plain value, never None",
        ),
        ({"key": ("name",), "expires_by": "price"}, "Shipped.price: the column that a row expires by is an Instant"),
        (
            {"key": ("name",), "expires_by": "first"},
            "Shipped.first: upsert must replace the column that a row expires by",
        ),
    ],
)
def test_a_table_that_cannot_be_is_refused_by_name(arguments: dict[str, Any], said: str) -> None:
    class Shipped(Row, frozen=True):
        name: str
        at: Instant
        first: First[Instant]
        price: Decimal
        body: Json
        note: str | None = None

    assert _said(lambda: table(**arguments)(Shipped)) == said


def test_the_newest_row_neither_expires_nor_has_a_global_key() -> None:
    class Shipped(Row, frozen=True):
        name: str
        at: Instant

    assert _said(lambda: table(key=("name",), newest_by=("at",), expires_by="at")(Shipped)) == (
        "Shipped.at: upsert must replace the column that a row expires by"
    )
    assert _said(lambda: table(key=("name",), newest_by=("at",), key_is_global=True)(Shipped)) == (
        "Shipped: newest_by is for upsert, which a key that is global does not take"
    )


def test_a_row_that_expires_has_no_global_key() -> None:
    class Shipped(Row, frozen=True):
        name: str
        at: Instant

    assert _said(lambda: table(key=("name",), expires_by="at", key_is_global=True)(Shipped)) == (
        "Shipped: a row that expires has no global key: one org's time is not another's"
    )


def test_a_rows_class_inherits_from_row_and_leaves_the_org_as_it_is() -> None:
    class Plain:
        name: str

    class Numbered(Row, frozen=True):
        org_id: int  # type: ignore[assignment]

    class Known(Row, frozen=True):
        org_id: str | None  # type: ignore[assignment]

    assert _said(lambda: table(key=())(Plain)) == "Plain: a row's class inherits from Row"
    assert _said(lambda: table(key=())(Numbered)) == "Numbered: org_id is Row's: leave it out of the class"
    assert _said(lambda: table(key=())(Known)) == "Known: org_id is Row's: leave it out of the class"


def test_a_class_without_table_is_none_not_even_one_that_inherits_from_a_table() -> None:
    class Bare(Row, frozen=True):
        name: str

    class Inherited(Deploy, frozen=True):
        more: str = ""

    for row in (Bare, Inherited):
        assert _said(lambda row=row: spec_of(row)) == (  # type: ignore[misc]
            f"{row.__name__}: it has no table: put @table(key=(...)) before the class"
        )


def test_operations_say_what_they_were_given() -> None:
    row = DeploysPerWeek(org_id="acme", week=date(2026, 3, 2), service="shop", deploys=1)
    assert insert(row) == Insert(row)
    assert upsert(row) == Upsert(row)
    assert add(row) == Add(row)
    assert delete(DeploysPerWeek, "acme", date(2026, 3, 2), "shop") == Delete(
        DeploysPerWeek, ("acme", date(2026, 3, 2), "shop")
    )
    assert sql("DELETE FROM t WHERE a = %(a)s", a=1) == Sql("DELETE FROM t WHERE a = %(a)s", {"a": 1})


@pytest.mark.parametrize(
    ("operation", "said"),
    [
        (
            lambda: upsert(Deploy(org_id="acme", event_id="1")),
            "Deploy has a key without the org: it takes insert only",
        ),
        (lambda: add(Deploy(org_id="acme", event_id="1")), "Deploy has a key without the org: it takes insert only"),
        (lambda: delete(Deploy, "1"), "Deploy has a key without the org: it takes insert only"),
        (
            lambda: add(Latest(org_id="acme", worker_id="w", at=1)),
            "Latest cannot be added: it keeps the newest row",
        ),
        (
            lambda: add(Named(org_id="acme", value="x")),
            "Shipped cannot be added: it has columns that are neither key nor numbers",
        ),
        (
            lambda: delete(DeploysPerWeek, "acme", "shop"),
            "the key of DeploysPerWeek is (org_id, week, service), but 2 values were given",
        ),
    ],
)
def test_an_operation_that_its_table_does_not_take_is_refused(operation: Callable[[], Any], said: str) -> None:
    with pytest.raises(OperationError) as raised:
        operation()
    assert str(raised.value) == said
