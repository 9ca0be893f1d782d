"""How two rows of one key become one, and what a column takes."""

from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from math import inf, nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wepeople_projections import (
    First,
    Greatest,
    Instant,
    Json,
    Jsonb,
    Known,
    Least,
    RawText,
    Row,
    SmallInt,
    Sum,
    United,
    table,
)
from wepeople_projections.batch.merge import problem_of_row, rules_of, united
from wepeople_projections.definition.columns import Column, Kind, Merge
from wepeople_projections.definition.table import spec_of
from wepeople_projections.definition.taking import problem_of


@table(key=("n",))
class Merged(Row, frozen=True):
    n: int
    replaced: str | None = None
    first: First[str | None] = None
    known: Known[str | None] = None
    total: Sum[int] = 0
    price: Sum[Decimal] = Decimal(0)
    least: Least[float] = 0.0
    greatest: Greatest[float] = 0.0
    texts: United[list[str]] = []  # noqa: RUF012


@table(key=("n",), newest_by=("at", "sequence"))
class Newest(Row, frozen=True):
    n: int
    at: int
    sequence: int
    text: str = ""


@table(key=("a", "b"), indexes=(("c",),))
class Indexed(Row, frozen=True):
    a: str
    b: str
    c: str
    d: str = ""
    body: Json = b"{}"
    fields: Jsonb | None = None
    raw: RawText = b""
    score: float = 0.0


MERGED = rules_of(spec_of(Merged))


def _row(**values: Any) -> Merged:
    return Merged(org_id="acme", n=1, **values)


@pytest.mark.parametrize(
    ("there", "new", "merged"),
    [
        ({"replaced": "a"}, {"replaced": None}, {"replaced": None}),
        ({"first": "a"}, {"first": "b"}, {"first": "a"}),
        ({"first": None}, {"first": "b"}, {"first": None}),
        ({"known": "a"}, {"known": "b"}, {"known": "b"}),
        ({"known": "a"}, {"known": None}, {"known": "a"}),
        ({"total": 2}, {"total": -3}, {"total": -1}),
        ({"least": 2.0}, {"least": 1.0}, {"least": 1.0}),
        ({"greatest": 2.0}, {"greatest": 1.0}, {"greatest": 2.0}),
        ({"texts": ["b", "a"]}, {"texts": ["c", "a", "c"]}, {"texts": ["b", "a", "c"]}),
    ],
)
def test_each_column_merges_in_its_own_way(there: Any, new: Any, merged: Any) -> None:
    assert MERGED.merged(_row(**there), _row(**new)) == _row(**merged)


def test_decimals_are_summed_exactly_and_keep_their_places() -> None:
    summed: Any = MERGED.merged(_row(price=Decimal("1E+40")), _row(price=Decimal("0.10")))
    assert str(summed.price) == "1" + "0" * 40 + ".10"


def test_of_equal_values_the_one_that_is_there_stays() -> None:
    merged: Any = MERGED.merged(_row(greatest=0.0, least=-0.0), _row(greatest=-0.0, least=0.0))
    assert (str(merged.greatest), str(merged.least)) == ("0.0", "-0.0")


def test_no_number_is_greater_than_none_at_all_as_in_postgres() -> None:
    for there, new in ((nan, 1.0), (1.0, nan)):
        merged: Any = MERGED.merged(_row(greatest=there, least=there), _row(greatest=new, least=new))
        assert str(merged.greatest) == "nan"
        assert merged.least == 1.0


def test_the_newest_row_stays_as_a_whole_and_of_equals_the_one_that_is_there() -> None:
    merged = rules_of(spec_of(Newest)).merged
    there = Newest(org_id="acme", n=1, at=2, sequence=5, text="there")
    for at, sequence, wins in ((2, 6, True), (3, 1, True), (2, 5, False), (1, 9, False)):
        new = Newest(org_id="acme", n=1, at=at, sequence=sequence, text="new")
        assert merged(there, new) is (new if wins else there)


_TEXTS = st.lists(st.sampled_from("abc"), max_size=4)
_FLOATS = st.sampled_from([0.0, -0.0, 1.0, -inf, nan])
_ROWS = st.builds(
    _row,
    replaced=st.none() | st.sampled_from("ab"),
    first=st.none() | st.sampled_from("ab"),
    known=st.none() | st.sampled_from("ab"),
    total=st.integers(),
    price=st.decimals(allow_nan=False, allow_infinity=False),
    least=_FLOATS,
    greatest=_FLOATS,
    texts=_TEXTS,
)


@given(_ROWS, _ROWS, _ROWS)
def test_it_makes_no_difference_which_of_three_rows_are_merged_first(a: Merged, b: Merged, c: Merged) -> None:
    merged = MERGED.merged
    assert repr(merged(merged(a, b), c)) == repr(merged(a, merged(b, c)))


@given(_TEXTS, _TEXTS)
def test_united_has_each_new_text_once(there: list[str], new: list[str]) -> None:
    both = united(there, new)
    assert both[: len(there)] == there
    assert sorted(both[len(there) :]) == sorted(set(new) - set(there))


class Kindly(StrEnum):
    YES = "yes"


_GOOD: list[tuple[Kind, Any]] = [
    (Kind.TEXT, "é\U0001f600"),
    (Kind.TEXT, Kindly.YES),
    (Kind.RAW_TEXT, "é".encode()),
    (Kind.TEXTS, ["", "a"]),
    (Kind.INTEGER, -(2**63)),
    (Kind.SMALL_INTEGER, 2**15 - 1),
    (Kind.DECIMAL, Decimal("-1.50")),
    (Kind.FLOAT, nan),
    (Kind.FLOAT, 3),
    (Kind.BOOLEAN, False),
    (Kind.DATE, date(1, 1, 1)),
    (Kind.DATETIME, datetime(2026, 3, 1, tzinfo=UTC)),
    (Kind.INSTANT, 0),
    (Kind.BYTES, b"\0"),
    (Kind.JSON, b'{"a": [1e999, "\\ud800"]}'),
    (Kind.JSONB, b" null "),
]
_BAD: list[tuple[Kind, Any]] = [
    (Kind.TEXT, b"a"),
    (Kind.TEXT, "a\0"),
    (Kind.TEXT, "\ud800"),
    (Kind.RAW_TEXT, "a"),
    (Kind.RAW_TEXT, b"\xff"),
    (Kind.RAW_TEXT, b"\0"),
    (Kind.TEXTS, ("a",)),
    (Kind.TEXTS, ["a", None]),
    (Kind.INTEGER, 2**63),
    (Kind.INTEGER, True),
    (Kind.INTEGER, 1.0),
    (Kind.SMALL_INTEGER, 2**15),
    (Kind.DECIMAL, 1),
    (Kind.DECIMAL, Decimal("NaN")),
    (Kind.DECIMAL, Decimal("Infinity")),
    (Kind.DECIMAL, Decimal("1E+200000")),
    (Kind.DECIMAL, Decimal("1E-20000")),
    (Kind.FLOAT, "1"),
    (Kind.FLOAT, 2**60),
    (Kind.FLOAT, True),
    (Kind.BOOLEAN, 1),
    (Kind.DATE, datetime(2026, 3, 1, tzinfo=UTC)),
    (Kind.DATETIME, datetime(2026, 3, 1)),
    (Kind.DATETIME, date(2026, 3, 1)),
    (Kind.INSTANT, 10**18),
    (Kind.INSTANT, -(10**17)),
    (Kind.BYTES, "a"),
    (Kind.JSON, {}),
    (Kind.JSON, b"{a: 1}"),
    (Kind.JSON, b"NaN"),
    (Kind.JSON, b'"\n"'),
    (Kind.JSONB, b"\xff"),
]


def _column(kind: Kind, optional: bool = False) -> Column:
    return Column("value", kind, optional, Merge.REPLACE, "")


@pytest.mark.parametrize(("kind", "value"), _GOOD)
def test_a_value_of_its_type_is_right(kind: Kind, value: Any) -> None:
    assert problem_of(_column(kind), value) is None


@pytest.mark.parametrize(("kind", "value"), _BAD)
def test_a_value_that_its_column_cannot_hold_is_named(kind: Kind, value: Any) -> None:
    problem = problem_of(_column(kind), value)
    assert problem is not None
    assert problem.startswith(f"is {value!r}"[:40])
    assert ", but the column takes " in problem


def test_only_an_optional_column_takes_none() -> None:
    for kind in Kind:
        assert problem_of(_column(kind, optional=True), None) is None
        assert problem_of(_column(kind), None) == "is None, but the column is not `| None`"


def test_a_long_value_is_shown_by_its_beginning() -> None:
    assert problem_of(_column(Kind.INTEGER), "x" * 1000) == (
        f"is '{'x' * 59}..., but the column takes an int of 64 bits"
    )


def test_the_first_column_at_fault_is_named_with_its_row() -> None:
    row: Any = Indexed(org_id="acme", a="a", b="b", c=7, d=8)  # type: ignore[arg-type]
    assert problem_of_row(spec_of(Indexed), row) == "Indexed.c is 7, but the column takes a str without NUL"


@pytest.mark.parametrize(
    ("values", "sure"),
    [
        ({}, True),
        ({"d": "x" * 5000}, True),
        ({"a": "x" * 5000}, False),
        ({"c": "x" * 5000}, False),
        ({"a": "x\0"}, False),
        ({"a": "\ud800"}, False),
        ({"a": None}, False),
        ({"body": b'"\\u0000"'}, True),
        ({"body": b'"\\ud83d\\ude00"'}, True),
        ({"body": b'"\\ud800"'}, False),
        ({"body": b"[" * 5000 + b"]" * 5000}, False),
        ({"body": b"{"}, False),
        ({"fields": None}, True),
        ({"fields": b'{"a": 1}'}, True),
        ({"fields": b'"\\u0000"'}, False),
        ({"fields": b"1e999"}, False),
        ({"raw": b"\xff"}, False),
        ({"score": 1}, True),
        ({"score": "1"}, False),
    ],
)
def test_what_postgres_may_refuse_is_not_sure(values: dict[str, Any], sure: bool) -> None:
    assert (
        rules_of(spec_of(Indexed)).is_sure(Indexed(**{"org_id": "acme", "a": "a", "b": "b", "c": "c", **values}))
        is sure
    )


@table(key=("n",))
class EveryKind(Row, frozen=True):
    n: int
    small: SmallInt | None = None
    price: Decimal | None = None
    at: datetime | None = None
    since: Instant | None = None
    day: date | None = None
    flag: bool | None = None
    texts: list[str] | None = None
    data: bytes | None = None


@pytest.mark.parametrize(("kind", "value"), [case for case in _GOOD + _BAD if case[0] not in (Kind.JSON, Kind.JSONB)])
def test_plain_values_are_sure_exactly_when_they_are_right(kind: Kind, value: Any) -> None:
    columns = {column.kind: column.name for column in spec_of(EveryKind).columns if column.optional}
    if (name := columns.get(kind)) is None:
        return
    row = EveryKind(**{"org_id": "acme", "n": 1, name: value})
    assert rules_of(spec_of(EveryKind)).is_sure(row) is ((kind, value) in _GOOD)
