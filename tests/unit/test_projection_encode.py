"""Rows in the binary format of COPY: each value as its column's kind has it, whichever values come again and again."""

import struct
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wepeople_projections import Instant, Json, Jsonb, OperationError, RawText, Row, SmallInt, table
from wepeople_projections.definition.table import spec_of
from wepeople_projections.postgres.binary import ENCODERS
from wepeople_projections.postgres.encode import encoder


@table(key=("text",))
class Every(Row, frozen=True):
    text: str
    raw: RawText
    texts: list[str]
    number: int
    small: SmallInt
    exact: Decimal
    inexact: float
    yes: bool
    day: date
    moment: datetime
    instant: Instant
    data: bytes
    as_sent: Json
    for_queries: Jsonb


@table(key=("text",))
class Perhaps(Row, frozen=True):
    text: str
    words: str | None
    raw: RawText | None
    texts: list[str] | None
    number: int | None
    small: SmallInt | None
    exact: Decimal | None
    inexact: float | None
    yes: bool | None
    day: date | None
    moment: datetime | None
    instant: Instant | None
    data: bytes | None
    as_sent: Json | None
    for_queries: Jsonb | None


TEXTS = st.sampled_from(["", "a", "é", "\U0001f600", "from", "x" * 300])
BYTES = st.sampled_from([b"", b"{}", b'"\xc3\xa9"', b"x" * 300])
ZONES = st.sampled_from([UTC, timezone(timedelta(hours=14)), timezone(-timedelta(hours=3, minutes=30, seconds=1))])
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "org_id": st.sampled_from(["org_1", "org_2"]),
    "text": TEXTS,
    "words": TEXTS,
    "raw": BYTES,
    "texts": st.lists(TEXTS, max_size=3),
    "number": st.integers(-(2**63), 2**63 - 1),
    "small": st.integers(-(2**15), 2**15 - 1),
    "exact": st.decimals(allow_nan=False, allow_infinity=False),
    "inexact": st.floats(),
    "yes": st.booleans(),
    "day": st.dates(),
    "moment": st.datetimes(timezones=ZONES),
    "instant": st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999),
    "data": BYTES,
    "as_sent": BYTES,
    "for_queries": BYTES,
}


@st.composite
def neighbours(draw: st.DrawFn, row: type[Any]) -> list[Row]:
    """Rows that have some values in common with the row before, as those of one request have."""
    columns = {c.name: st.none() | VALUES[c.name] if c.optional else VALUES[c.name] for c in spec_of(row).columns}
    values = {name: draw(some) for name, some in columns.items()}
    rows = [row(**values)]
    for changing in draw(st.lists(st.sets(st.sampled_from(sorted(columns)), max_size=4), max_size=40)):
        values |= {name: draw(columns[name]) for name in changing}
        rows.append(row(**values))
    return rows


def fields(data: bytes) -> list[list[bytes]]:
    """COPY's data taken apart: per row its fields, each with its length before it."""
    rows, at = [], 0
    while at < len(data):
        (count,) = struct.unpack_from("!h", data, at)
        at += 2
        row = []
        for _ in range(count):
            (length,) = struct.unpack_from("!i", data, at)
            row.append(data[at : at + 4 + max(length, 0)])
            at += len(row[-1])
        rows.append(row)
    return rows


def plainly(rows: Sequence[Row], columns: Sequence[str]) -> list[list[bytes]]:
    """The same, each value by itself."""
    kinds = {column.name: column.kind for column in spec_of(type(rows[0])).columns}

    def field(row: Row, name: str) -> bytes:
        value = getattr(row, name)
        return b"\xff\xff\xff\xff" if value is None else ENCODERS[kinds[name]](value)

    return [[field(row, name) for name in columns] for row in rows]


@given(neighbours(Every) | neighbours(Perhaps))
def test_each_row_has_each_of_its_values_once(rows: list[Row]) -> None:
    spec = spec_of(type(rows[0]))
    columns, encode = encoder(spec, rows)
    assert sorted(columns) == sorted(spec.names)
    assert fields(encode(rows)) == plainly(rows, columns)


@given(neighbours(Every), neighbours(Every))
def test_an_encoder_made_for_some_rows_is_right_for_others(some: list[Row], others: list[Row]) -> None:
    columns, encode = encoder(spec_of(Every), some)
    assert fields(encode(others)) == plainly(others, columns)


def test_what_is_the_same_in_neighbouring_rows_comes_first() -> None:
    rows = [perhaps(text=str(n), number=7 if n else 8) for n in range(20)]
    assert encoder(spec_of(Perhaps), rows).columns[-1] == "text"


def perhaps(**values: Any) -> Perhaps:
    return Perhaps(**{"org_id": "org_1", **dict.fromkeys(set(Perhaps.__struct_fields__) - {"org_id"}), **values})


def every(**values: Any) -> Every:
    plain: dict[str, Any] = {
        "org_id": "org_1",
        "text": "",
        "raw": b"",
        "texts": [],
        "number": 0,
        "small": 0,
        "exact": Decimal(0),
        "inexact": 0.0,
        "yes": False,
        "day": date(2026, 4, 1),
        "moment": datetime(2026, 4, 1, tzinfo=UTC),
        "instant": 0,
        "data": b"",
        "as_sent": b"1",
        "for_queries": b"1",
    }
    return Every(**(plain | values))


UNFIT: list[tuple[str, Any]] = [
    ("number", 2**63),
    ("number", -(2**63) - 1),
    ("number", "1"),
    ("number", 1.5),
    ("number", None),
    ("small", 2**15),
    ("instant", 2**62),
    ("instant", -62_135_596_800_000_001),
    ("exact", Decimal("NaN")),
    ("exact", Decimal("Infinity")),
    ("exact", Decimal("1E+999999999")),
    ("exact", Decimal("1E-999999")),
    ("inexact", "1"),
    ("inexact", 10**400),
    ("text", None),
    ("text", b"text"),
    ("text", []),
    ("text", "\ud800"),
    ("texts", ["\ud800"]),
    ("texts", None),
    ("texts", "text"),
    ("yes", None),
    ("yes", "no"),
    ("day", datetime(2026, 4, 1, tzinfo=UTC)),
    ("raw", "text"),
    ("data", None),
    ("day", "2026-04-01"),
    ("moment", datetime(2026, 4, 1)),
    ("for_queries", "1"),
]


@pytest.mark.parametrize(("column", "value"), UNFIT)
@pytest.mark.parametrize("repeated", [1, 20])
def test_a_value_that_the_column_does_not_take_is_named_and_never_cut(column: str, value: Any, repeated: int) -> None:
    rows = [every(text=str(n)) for n in range(20)] + [every(**{column: value}) for _ in range(repeated)]
    few = [every(**{column: n % 3 * "x"}) for n in range(20)] if column == "text" else rows
    for sample in (rows[:20], rows[-20:], few):
        _, encode = encoder(spec_of(Every), sample)
        with pytest.raises(OperationError, match=rf"Every\.{column} "):
            encode(rows)
