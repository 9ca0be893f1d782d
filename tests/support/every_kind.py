"""Tables of every kind of column and every way to merge, and histories of operations on them."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from wepeople_projections import (
    First,
    Greatest,
    Instant,
    Json,
    Jsonb,
    Known,
    Least,
    Projection,
    RawText,
    Row,
    SmallInt,
    Sum,
    United,
    on_event,
    table,
)
from wepeople_projections.definition.operations import Add, Delete, Insert, Operation, Upsert
from wepeople_projections.definition.projection import define
from wepeople_projections.definition.table import TableSpec, spec_of


@table(key=("text", "number", "small", "yes", "day", "moment", "instant"), by_month="moment")
class Keyed(Row, frozen=True):
    text: str
    number: int
    small: SmallInt
    yes: bool
    day: date
    moment: datetime
    instant: Instant
    total: Sum[int]
    price: Sum[Decimal]


@table(key=("n",), name="select")
class Merged(Row, frozen=True):
    n: int
    first: First[Decimal | None]
    known: Known[str | None]
    known_json: Known[Json | None]
    total: Sum[int]
    price: Sum[Decimal]
    least: Least[str]
    least_price: Least[Decimal]
    greatest: Greatest[float]
    latest: Greatest[datetime]
    ever: Greatest[bool]
    united: United[list[str]]
    order: str


@table(key=("n",))
class Perhaps(Row, frozen=True):
    n: int
    text: str | None
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


@table(key=("n",), newest_by=("at", "then"))
class Newest(Row, frozen=True):
    n: int
    at: Instant
    then: str
    exact: Decimal
    as_sent: Json


@table(key=("day", "text"), by_month="day")
class Daily(Row, frozen=True):
    day: date
    text: str
    hits: Sum[int]


@table(key=("text", "n"), expires_by="until")
class Session(Row, frozen=True):
    text: str
    n: int
    until: Instant | None
    hits: Sum[int]


@table(key=("n",))
class Seen(Row, frozen=True):
    n: int


class Every(Projection):
    name = "every"
    version = 1
    tables = (Keyed, Merged, Perhaps, Newest, Daily, Session, Seen)

    @on_event()
    def nothing(self, event: object) -> None:
        return None


DEFINITION = define(Every)
SPECS: tuple[TableSpec, ...] = DEFINITION.tables

_TEXTS = st.sampled_from(["", "a", "b", "é", "\uffff", "\U0001f600", "a,'\"\\{}", "x" * 500])
_INTEGERS = st.sampled_from([0, 1, -1, 2**53 + 1, 2**62, -(2**62)])
_EXACT = st.sampled_from(
    [
        *map(Decimal, ("0", "-0.0", "1", "1.0", "1.00", "-0.1", "12345.6789", "1E+3", "1E-30")),
        Decimal(10**40 + 1),
        Decimal("9" * 60) / 7,
    ]
)
_FLOATS = st.sampled_from([0.0, -0.0, 0.1, 1e300, 5e-324, float("inf"), float("-inf"), float("nan")])
_DAYS = st.sampled_from([date(1, 1, 1), date(1999, 12, 31), date(9999, 12, 31)])
_MOMENTS = st.sampled_from(
    [
        datetime(2, 1, 1, tzinfo=UTC),
        datetime(2026, 4, 1, 9, 0, 0, 1, tzinfo=UTC),
        datetime(2026, 4, 1, 14, 30, 0, 1, tzinfo=timezone(timedelta(hours=5, minutes=30))),
        datetime(9998, 12, 31, 23, 59, 59, 999999, tzinfo=timezone(-timedelta(hours=12))),
    ]
)
_INSTANTS = st.sampled_from([-62_104_060_800_000_000, -1, 0, 1_775_034_000_000_001, 253_370_764_799_999_999])
_JSON = st.sampled_from([b"{}", b' {"b": 1, "a": [1e2]} ', '"é"'.encode(), b"null"])
_JSONB = st.sampled_from([b"{}", b'{"a": 1}', b"1.50", b"null"])
_RAW = st.sampled_from([b"", b"raw", "é".encode()])
_DATA = st.sampled_from([b"", b"\x00\xff", b"\\x00"])
_UNTIL = st.none() | st.integers(0, 30)

_KEYS: dict[type[Any], dict[str, st.SearchStrategy[Any]]] = {
    Keyed: {
        "text": st.sampled_from(["", "é", "\U0001f600"]),
        "number": st.sampled_from([2**63 - 1, -(2**63)]),
        "small": st.just(-(2**15)),
        "yes": st.just(True),
        "day": st.just(date(1, 1, 1)),
        "moment": _MOMENTS,
        "instant": st.just(-1),
    },
    Daily: {"day": _DAYS, "text": st.just("")},
    Session: {"text": st.sampled_from(["", "a"]), "n": st.integers(0, 1)},
}
_KEY = {"n": st.integers(0, 1)}
_VALUES: dict[type[Any], dict[str, st.SearchStrategy[Any]]] = {
    Keyed: {"total": _INTEGERS, "price": _EXACT},
    Merged: {
        "first": st.none() | _EXACT,
        "known": st.none() | _TEXTS,
        "known_json": st.none() | _JSON,
        "total": _INTEGERS,
        "price": _EXACT,
        "least": _TEXTS,
        "least_price": _EXACT,
        "greatest": _FLOATS,
        "latest": _MOMENTS,
        "ever": st.booleans(),
        "united": st.lists(_TEXTS, max_size=4),
        "order": _TEXTS,
    },
    Perhaps: {
        "text": st.none() | _TEXTS,
        "raw": st.none() | _RAW,
        "texts": st.none() | st.lists(_TEXTS, max_size=3),
        "number": st.none() | _INTEGERS,
        "small": st.none() | st.sampled_from([-(2**15), 2**15 - 1]),
        "exact": st.none() | _EXACT,
        "inexact": st.none() | _FLOATS,
        "yes": st.none() | st.booleans(),
        "day": st.none() | _DAYS,
        "moment": st.none() | _MOMENTS,
        "instant": st.none() | _INSTANTS,
        "data": st.none() | _DATA,
        "as_sent": st.none() | _JSON,
        "for_queries": st.none() | _JSONB,
    },
    Newest: {"at": st.integers(0, 2), "then": st.sampled_from(["", "a"]), "exact": _EXACT, "as_sent": _JSON},
    Daily: {"hits": st.integers(0, 3)},
    Session: {"until": _UNTIL, "hits": st.integers(0, 3)},
    Seen: {},
}


@st.composite
def operations(draw: st.DrawFn, org_id: str) -> Operation:
    """One, on one of few keys."""
    row = draw(st.sampled_from(list(_VALUES)))
    made = [Insert, Upsert, Upsert, Delete, *[Add] * spec_of(row).can_add]
    kind: Callable[..., Operation] = draw(st.sampled_from(made))
    key = {name: draw(value) for name, value in _KEYS.get(row, _KEY).items()}
    if kind is Delete:
        return Delete(row, (org_id, *key.values()))
    return kind(row(org_id=org_id, **key, **{name: draw(value) for name, value in _VALUES[row].items()}))


Message = tuple[str, int, list[list[Operation]]]
"""An org, when the message was stored (microseconds), and the operations of each of its rows."""


@st.composite
def messages(draw: st.DrawFn) -> Message:
    """One of a few orgs, at one of a few instants."""
    org_id = draw(st.sampled_from(["org_1", "org_2"]))
    rows = draw(st.lists(st.lists(operations(org_id), min_size=1, max_size=3), max_size=6))
    return org_id, draw(st.integers(0, 30)), rows


def batches() -> st.SearchStrategy[list[list[Message]]]:
    """A history, cut into batches."""
    return st.lists(st.lists(messages(), min_size=1, max_size=4), min_size=1, max_size=5)
