"""However the stream is cut into batches, and whatever comes together in one: the tables are as by one operation after
the other, and the same rows are refused.
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, NamedTuple

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support.plain_tables import PlainTables, Refused
from wepeople_projections import (
    First,
    Greatest,
    Instant,
    Json,
    Jsonb,
    Known,
    Least,
    OperationError,
    Row,
    Sum,
    United,
    table,
)
from wepeople_projections.batch.changes import Changes
from wepeople_projections.batch.tables import MemoryTables
from wepeople_projections.definition.operations import Add, Delete, Insert, Operation, Upsert
from wepeople_projections.definition.table import spec_of


@table(key=("n",))
class Everything(Row, frozen=True):
    n: int
    replaced: str
    first: First[int | None]
    known: Known[str | None]
    total: Sum[int]
    price: Sum[Decimal]
    least: Least[str]
    greatest: Greatest[float]
    united: United[list[str]]


@table(key=("n",))
class Sums(Row, frozen=True):
    n: int
    total: Sum[int]
    replaced: int


@table(key=("n",))
class Numbers(Row, frozen=True):
    n: int
    total: Sum[int]
    least: Least[int]
    first: First[int]


@table(key=("n",), newest_by=("at", "then"))
class Newest(Row, frozen=True):
    n: int
    at: int
    then: bool
    text: str


@table(key=("n",), expires_by="until")
class Session(Row, frozen=True):
    n: int
    until: Instant | None
    hits: Sum[int]


@table(key=("n",), expires_by="until")
class Refusal(Row, frozen=True):
    n: int
    until: Instant
    text: str


@table(key=("n",), key_is_global=True)
class Unique(Row, frozen=True):
    n: int
    text: str


@table(key=("n",))
class Document(Row, frozen=True):
    n: int
    body: Json
    fields: Jsonb
    text: Known[str | None]


SPECS = [spec_of(row) for row in (Everything, Sums, Numbers, Newest, Session, Refusal, Unique, Document)]


class Message(NamedTuple):
    org_id: str
    stored_at_us: int
    rows: list[list[Operation]]


_SMALL = st.integers(0, 3)
# Two of the great ones are too much; none, or one, is far from that. So near to 2**63 that small numbers decide, which
# rows are refused may depend on the cut: merge.py says why that is left.
_INTEGERS = st.sampled_from([0, 1, -1, 2, 5, 5 * 2**60, -5 * 2**60])
_TEXTS = st.sampled_from(["", "a", "b", "é", "\uffff", "\U0001f600"])
_UNSTORABLE = st.sampled_from(["a", "b\0", "\ud800", None])
_PRICES = st.sampled_from([Decimal("1.0"), Decimal("1.00"), Decimal("-0.1"), Decimal(10**30), Decimal("1E-30")])
_JSON = st.sampled_from([b"{}", b"[1]", b'"\\u0000"', b"1e999", b"nonsense"])
_VALUES: dict[type[Any], dict[str, st.SearchStrategy[Any]]] = {
    Everything: {
        "replaced": _TEXTS,
        "first": st.none() | _INTEGERS,
        "known": st.none() | _TEXTS,
        "total": _INTEGERS,
        "price": _PRICES,
        "least": _TEXTS,
        "greatest": st.sampled_from([0.0, -0.0, 1.5, float("inf"), 3]),
        "united": st.lists(_TEXTS, max_size=3),
    },
    Sums: {"total": _INTEGERS, "replaced": _INTEGERS},
    Numbers: {"total": _INTEGERS, "least": _INTEGERS, "first": _INTEGERS},
    Newest: {"at": _SMALL, "then": st.booleans(), "text": _TEXTS},
    Session: {"until": st.none() | st.integers(0, 30), "hits": _SMALL},
    Refusal: {"until": st.integers(0, 30), "text": _TEXTS | _UNSTORABLE},
    Unique: {"text": _TEXTS | _UNSTORABLE},
    Document: {"body": _JSON, "fields": _JSON, "text": _UNSTORABLE},
}
_KINDS: dict[type[Any], list[type[Any]]] = {
    Everything: [Insert, Upsert, Upsert, Delete],
    Sums: [Insert, Upsert, Add, Delete],
    Numbers: [Insert, Upsert, Add, Delete],
    Newest: [Insert, Upsert, Upsert, Delete],
    Session: [Insert, Upsert, Upsert, Delete],
    Refusal: [Insert, Insert, Delete],
    Unique: [Insert],
    Document: [Insert, Upsert, Delete],
}


@st.composite
def _operations(draw: st.DrawFn, org_id: str) -> Operation:
    row = draw(st.sampled_from(list(_VALUES)))
    kind = draw(st.sampled_from(_KINDS[row]))
    of_org = draw(st.sampled_from([org_id] * 15 + ["other"]))
    n = draw(st.integers(0, 1))
    if kind is Delete:
        return Delete(row, (of_org, n))
    made: Operation = kind(row(org_id=of_org, n=n, **{name: draw(value) for name, value in _VALUES[row].items()}))
    return made


@st.composite
def _messages(draw: st.DrawFn) -> Message:
    org_id = draw(st.sampled_from(["acme", "other"]))
    rows = draw(st.lists(st.lists(_operations(org_id), min_size=1, max_size=3), max_size=4))
    return Message(org_id, draw(st.integers(0, 30)), rows)


Outcome = tuple[list[list[Row]], set[tuple[int, int]]]


def _one_by_one(history: list[Message]) -> Outcome:
    tables, refused = PlainTables(SPECS), set()
    for n, message in enumerate(history):
        tables.pass_time(message.org_id, message.stored_at_us)
        for index, operations in enumerate(message.rows):
            try:
                tables.apply(message.org_id, operations)
            except Refused:
                refused.add((n, index))
    return [tables.rows(spec) for spec in SPECS], refused


def _in_batches(history: list[Message], batches: Iterable[list[int]]) -> Outcome:
    tables, refused = MemoryTables(), set[tuple[int, int]]()
    for batch in batches:
        changes, parked = Changes(SPECS), set()
        for n in batch:
            changes.pass_time(history[n].org_id, history[n].stored_at_us)
            for index, operations in enumerate(history[n].rows):
                try:
                    changes.apply(history[n].org_id, operations)
                except OperationError:
                    parked.add((n, index))
        try:
            tables.write(changes)
        except OperationError:
            # As a runner does: what the database refuses as a whole is written row by row.
            by_row = _row_by_row(tables, history, batch)
            assert by_row - parked, "the batch was refused, but each row of it is taken"
            parked = by_row
        refused |= parked
    return [tables.rows(spec) for spec in SPECS], refused


def _row_by_row(tables: MemoryTables, history: list[Message], batch: list[int]) -> set[tuple[int, int]]:
    refused = set()
    for n in batch:
        changes = Changes(SPECS)
        changes.pass_time(history[n].org_id, history[n].stored_at_us)
        tables.write(changes)
        for index, operations in enumerate(history[n].rows):
            changes = Changes(SPECS)
            try:
                changes.apply(history[n].org_id, operations)
                tables.write(changes)
            except OperationError:
                refused.add((n, index))
    return refused


def _cut(count: int, cuts: set[int]) -> list[list[int]]:
    batches: list[list[int]] = [[]]
    for n in range(count):
        if n in cuts:
            batches.append([])
        batches[-1].append(n)
    return batches


def _shown(outcome: Outcome) -> str:
    """Values that are equal but not the same, 1.0 and 1.00 or 0.0 and -0.0, are told apart."""
    return repr((outcome[0], sorted(outcome[1])))


def _session(n: int, until: int | None, hits: int, kind: type[Any] = Upsert) -> list[Operation]:
    return [kind(Session(org_id="acme", n=n, until=until, hits=hits))]


@settings(max_examples=600, deadline=None)
@given(st.lists(_messages(), max_size=10), st.sets(st.integers(1, 9), max_size=6))
# A row of the table that is merged and expires in one batch, or is in the way of an insert before it does.
@example(
    [Message("acme", 0, [_session(0, 15, 1)]), Message("acme", 10, [_session(0, 30, 2)]), Message("acme", 20, [])], {1}
)
@example(
    [
        Message("acme", 0, [_session(0, 15, 1)]),
        Message("acme", 10, [_session(0, 9, 2, Insert)]),
        Message("acme", 20, []),
    ],
    {1},
)
def test_any_cut_of_any_history_makes_the_tables_that_one_operation_after_the_other_makes(
    history: list[Message], cuts: set[int]
) -> None:
    expected = _shown(_one_by_one(history))
    assert _shown(_in_batches(history, _cut(len(history), cuts))) == expected
    assert _shown(_in_batches(history, [[n] for n in range(len(history))])) == expected
    assert _shown(_in_batches(history, [list(range(len(history)))])) == expected


@settings(max_examples=300, deadline=None)
@given(st.lists(_messages(), max_size=4), st.lists(_operations("acme"), max_size=6))
def test_operations_that_cannot_all_be_applied_leave_the_changes_as_they_were(
    history: list[Message], operations: list[Operation]
) -> None:
    def gathered() -> Changes:
        changes = Changes(SPECS)
        for message in history:
            changes.pass_time(message.org_id, message.stored_at_us)
            for row in message.rows:
                try:
                    changes.apply(message.org_id, row)
                except OperationError:
                    continue
        return changes

    untouched, tried = gathered(), gathered()
    foreign = Insert(Sums(org_id="nobody", n=0, total=1, replaced=1))
    try:
        tried.apply("acme", [*operations, foreign])
    except OperationError:
        assert _content(tried) == _content(untouched)
    else:
        raise AssertionError("a row of another org was taken")
    after = [Message("acme", 15, [[operation] for operation in operations]), Message("other", 30, [])]
    for changes in (untouched, tried):
        for message in after:
            changes.pass_time(message.org_id, message.stored_at_us)
            for row in message.rows:
                try:
                    changes.apply(message.org_id, row)
                except OperationError:
                    continue
    assert _content(tried) == _content(untouched)


def _content(changes: Changes) -> list[Any]:
    names = ("inserted", "upserted", "added", "deleted", "absent", "expire", "touched")
    return [(layer.spec.name, [getattr(layer, name) for name in names]) for layer in changes.layers]  # type: ignore[union-attr]
