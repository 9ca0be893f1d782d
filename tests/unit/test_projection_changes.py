"""What a batch's operations come to: one layer for each table, as long as nothing can show that they came together."""

from typing import Any

import pytest

from wepeople_projections import (
    First,
    Greatest,
    Instant,
    Jsonb,
    OperationError,
    Row,
    Sum,
    add,
    delete,
    insert,
    sql,
    table,
    upsert,
)
from wepeople_projections.batch.changes import Changes
from wepeople_projections.batch.layer import Layer
from wepeople_projections.definition.operations import Delete
from wepeople_projections.definition.table import spec_of


@table(key=("event_id",), key_is_global=True)
class Deploy(Row, frozen=True):
    event_id: str
    service: str = "shop"


@table(key=("service",))
class Count(Row, frozen=True):
    service: str
    deploys: Sum[int] = 1


@table(key=("service",))
class Load(Row, frozen=True):
    service: str
    most: Greatest[int] = 1


@table(key=("service",))
class Known(Row, frozen=True):
    service: str
    first: First[str]
    details: Jsonb = b"{}"


@table(key=("service",), expires_by="until")
class Alert(Row, frozen=True):
    service: str
    until: Instant
    raised: Sum[int] = 1


SPECS = [spec_of(row) for row in (Deploy, Count, Load, Known, Alert)]
KEY = ("acme", "shop")


def _count(deploys: int = 1, org_id: str = "acme") -> Count:
    return Count(org_id=org_id, service="shop", deploys=deploys)


def _alert(until: int, raised: int = 1) -> Alert:
    return Alert(org_id="acme", service="shop", until=until, raised=raised)


def _applied(*operations: Any) -> Changes:
    changes = Changes(SPECS)
    for operation in operations:
        changes.apply("acme", [operation])
    return changes


def _content(layer: Any) -> dict[str, Any]:
    """What a layer has, without what it has not."""
    assert isinstance(layer, Layer)
    names = ("inserted", "upserted", "added", "deleted", "absent", "expire", "touched")
    return {name: content for name in names if (content := getattr(layer, name))}


def _only(changes: Changes) -> dict[str, Any]:
    (layer,) = changes.layers
    return _content(layer)


def test_inserts_gather_in_their_order_under_their_keys() -> None:
    rows = [Deploy(org_id="acme", event_id=event_id) for event_id in ("b", "a")]
    changes = _applied(*map(insert, rows))
    assert _only(changes) == {"inserted": {"b": rows[0], "a": rows[1]}}
    assert list(_only(changes)["inserted"]) == ["b", "a"]


@pytest.mark.parametrize(
    ("operations", "content"),
    [
        ([upsert(_count(1)), upsert(_count(2))], {"upserted": {KEY: _count(3)}}),
        ([add(_count(1)), add(_count(2))], {"added": {KEY: _count(3)}}),
        ([upsert(_count(1)), add(_count(2))], {"upserted": {KEY: _count(3)}}),
        ([add(_count(1)), upsert(_count(2))], {"upserted": {KEY: _count(3)}}),
        ([insert(_count(1)), upsert(_count(2)), add(_count(4))], {"inserted": {KEY: _count(7)}}),
        ([delete(Count, *KEY)], {"deleted": {KEY}}),
        ([upsert(_count(1)), delete(Count, *KEY)], {"deleted": {KEY}}),
        ([add(_count(1)), delete(Count, *KEY), delete(Count, *KEY)], {"deleted": {KEY}}),
        ([insert(_count(1)), delete(Count, *KEY)], {"absent": {KEY}}),
        ([insert(_count(1)), delete(Count, *KEY), delete(Count, *KEY)], {"absent": {KEY}}),
        ([insert(_count(1)), delete(Count, *KEY), insert(_count(2))], {"inserted": {KEY: _count(2)}}),
        ([insert(_count(1)), delete(Count, *KEY), add(_count(2))], {"inserted": {KEY: _count(2)}}),
        ([delete(Count, *KEY), insert(_count(1))], {"deleted": {KEY}, "inserted": {KEY: _count(1)}}),
        ([delete(Count, *KEY), upsert(_count(1)), add(_count(2))], {"deleted": {KEY}, "inserted": {KEY: _count(3)}}),
        ([delete(Count, *KEY), insert(_count(1)), delete(Count, *KEY)], {"deleted": {KEY}}),
    ],
)
def test_operations_of_one_key_come_to_what_one_after_the_other_would_leave(
    operations: list[Any], content: dict[str, Any]
) -> None:
    assert _only(_applied(*operations)) == content


@pytest.mark.parametrize("first", [insert, upsert, add])
def test_a_key_that_the_batch_has_cannot_be_inserted(first: Any) -> None:
    changes = _applied(first(_count(1)))
    with pytest.raises(OperationError, match=r"^count has a row with the key \('acme', 'shop'\) already$"):
        changes.apply("acme", [insert(_count(2))])


def test_an_upsert_and_an_add_that_are_not_one_are_written_one_after_the_other() -> None:
    load = Load(org_id="acme", service="shop")
    first, second = _applied(upsert(load), add(load)).layers
    assert (_content(first), _content(second)) == ({"upserted": {KEY: load}}, {"added": {KEY: load}})


def test_a_statement_stands_between_the_layers_before_and_those_after_it() -> None:
    statement = sql("DELETE FROM count WHERE org_id = %(org)s", org="acme")
    first, between, second = _applied(add(_count(1)), statement, add(_count(2))).layers
    assert between == statement
    assert (_content(first), _content(second)) == ({"added": {KEY: _count(1)}}, {"added": {KEY: _count(2)}})


def test_what_postgres_may_refuse_is_written_before_anything_replaces_it() -> None:
    doubtful = Known(org_id="acme", service="shop", first="a", details=b'"\\u0000"')
    plain = Known(org_id="acme", service="shop", first="b")
    for start in (insert(doubtful), upsert(doubtful)):
        for then in (upsert(plain), delete(Known, *KEY)):
            assert len(_applied(start, then).layers) == 2
    assert len(_applied(upsert(plain), upsert(doubtful)).layers) == 2
    assert len(_applied(insert(Known(org_id="acme", service="shop", first="\0")), delete(Known, *KEY)).layers) == 2
    assert len(_applied(add(_count(2**60)), add(_count(2**60))).layers) == 2


@pytest.mark.parametrize(
    ("operation", "said"),
    [
        (insert(_count(org_id="other")), "a message of org acme wrote a row of org other: Count"),
        (add(_count(org_id="other")), "a message of org acme wrote a row of org other: Count"),
        (delete(Count, "other", "shop"), "a message of org acme deletes a row of org other in count"),
        (delete(Count, "acme", 7), "Count.service is 7, but the column takes a str without NUL"),
        (delete(Count, "acme", "a\0"), "Count.service is 'a\\x00', but the column takes a str without NUL"),
        (upsert(Count(org_id="acme", service=None)), "Count.service is None, but the column is not `| None`"),  # type: ignore[arg-type]
        (add(_count(2**63)), "Count.deploys is 9223372036854775808, but the column takes an int of 64 bits"),
        (add(_count("1")), "Count.deploys is '1', but the column takes an int of 64 bits"),  # type: ignore[arg-type]
        (Delete(Row, ("acme",)), "Row is not among the projection's tables"),
        (insert("x"), "str is not among the projection's tables"),  # type: ignore[arg-type]
        ("x", "'x' is no operation: emit insert, upsert, add, delete or sql"),
        (
            insert(Count(org_id="acme", service=[])),  # type: ignore[arg-type]
            "a value is of a type that its column does not take: unhashable type: 'list'",
        ),
        (
            insert(Alert(org_id="acme", service="shop", until="soon")),  # type: ignore[arg-type]
            "Alert.until is 'soon', but the column takes an int",
        ),
    ],
)
def test_an_operation_that_cannot_be_is_refused_and_with_it_all_of_its_row(operation: Any, said: str) -> None:
    changes = _applied(add(_count(1)))
    with pytest.raises(OperationError) as raised:
        changes.apply("acme", [insert(Deploy(org_id="acme", event_id="1")), add(_count(1)), operation])
    assert str(raised.value) == said
    assert _only(changes) == {"added": {KEY: _count(1)}}


def test_what_has_grown_until_postgres_may_refuse_more_is_written_first() -> None:
    assert len(_applied(add(_count(2**53)), add(_count(2**53))).layers) == 1
    assert len(_applied(add(_count(2**53)), add(_count(2**53)), add(_count(-1))).layers) == 2


def test_nothing_is_in_doubt_because_of_a_row_that_was_refused() -> None:
    other = Count(org_id="acme", service="other")
    changes = _applied(add(other))
    with pytest.raises(OperationError):
        changes.apply("acme", [add(_count(2**60)), insert(_count(1))])
    changes.apply("acme", [add(_count(1)), add(_count(1))])
    assert _only(changes) == {"added": {("acme", "other"): other, KEY: _count(2)}}


def test_a_row_goes_when_a_later_message_of_its_org_is_stored_at_its_time() -> None:
    changes = Changes(SPECS)
    changes.pass_time("acme", 10)
    changes.apply("acme", [insert(_alert(until=5))])
    assert "inserted" in _only(changes)
    changes.pass_time("other", 20)
    changes.pass_time("acme", 4)
    assert "inserted" in _only(changes)
    changes.pass_time("acme", 5)
    assert _only(changes) == {"absent": {KEY}, "touched": {KEY: 10}, "expire": {"acme": 10, "other": 20}}


def test_a_row_that_was_merged_goes_from_the_table_too() -> None:
    changes = _applied(upsert(_alert(until=5)), upsert(_alert(until=7)))
    changes.pass_time("acme", 5)
    assert _only(changes)["upserted"] == {KEY: _alert(until=7, raised=2)}
    changes.pass_time("acme", 7)
    assert _only(changes) == {"deleted": {KEY}, "touched": {KEY: None}, "expire": {"acme": 7}}


def test_expiry_spares_what_was_merged_or_in_the_way_before_its_time() -> None:
    changes = Changes(SPECS)
    changes.pass_time("acme", 10)
    changes.apply("acme", [upsert(_alert(until=30))])
    changes.pass_time("acme", 20)
    changes.apply("acme", [upsert(_alert(until=40))])
    assert _only(changes) == {
        "upserted": {KEY: _alert(until=40, raised=2)},
        "touched": {KEY: 10},
        "expire": {"acme": 20},
    }


def test_a_row_that_postgres_may_refuse_is_written_before_it_expires() -> None:
    changes = _applied(insert(Alert(org_id="acme", service="\0", until=5)))
    changes.pass_time("acme", 5)
    first, second = changes.layers
    assert "inserted" in _content(first)
    assert _content(second) == {"expire": {"acme": 5}}


def test_time_means_nothing_to_tables_whose_rows_stay() -> None:
    changes = Changes([spec_of(Count)])
    changes.pass_time("acme", 5)
    assert changes.layers == []
