"""Tables in memory do what the database does: write a batch whole, or refuse it whole."""

from typing import Any

import pytest

from wepeople_contracts.directory import OrgFounded
from wepeople_projections import Instant, OperationError, Row, Sum, add, delete, insert, sql, table, upsert
from wepeople_projections.batch.changes import Changes
from wepeople_projections.batch.tables import MemoryTables
from wepeople_projections.definition.table import spec_of
from wepeople_projections.folding.identity import Identifier


@table(key=("service",))
class Count(Row, frozen=True):
    service: str
    deploys: Sum[int] = 1


@table(key=("service",), expires_by="until")
class Alert(Row, frozen=True):
    service: str
    until: Instant | None


SPECS = [spec_of(Count), spec_of(Alert)]
EMAIL = Identifier("acme", "email", "acme", "ada@acme.test")


def _changes(*operations: Any) -> Changes:
    changes = Changes(SPECS)
    for operation in operations:
        changes.apply("acme", [operation])
    return changes


def _count(service: str, deploys: int = 1) -> Count:
    return Count(org_id="acme", service=service, deploys=deploys)


def _tables(*operations: Any) -> MemoryTables:
    tables = MemoryTables()
    tables.write(_changes(*operations))
    return tables


def test_rows_come_in_the_order_of_the_key() -> None:
    tables = _tables(insert(_count("b")), upsert(_count("a")), add(_count("c")))
    assert tables.rows(spec_of(Count)) == [_count("a"), _count("b"), _count("c")]
    assert tables.rows(spec_of(Alert)) == []


def test_what_is_there_is_merged_summed_deleted_and_replaced() -> None:
    tables = _tables(*(insert(_count(service)) for service in "abcd"))
    tables.write(
        _changes(
            upsert(_count("a", 2)),
            add(_count("b", 3)),
            delete(Count, "acme", "c"),
            delete(Count, "acme", "d"),
            insert(_count("d", 5)),
            delete(Count, "acme", "gone"),
        )
    )
    assert tables.rows(spec_of(Count)) == [_count("a", 3), _count("b", 4), _count("d", 5)]


@pytest.mark.parametrize(
    ("operations", "said"),
    [
        ([insert(_count("there"))], "count has a row with the key ('acme', 'there') already"),
        (
            [insert(_count("there")), delete(Count, "acme", "there")],
            "count has a row with the key ('acme', 'there') already",
        ),
        ([insert(_count("a\0"))], "Count.service is 'a\\x00', but the column takes a str without NUL"),
        ([insert(_count("c", None))], "Count.deploys is None, but the column is not `| None`"),  # type: ignore[arg-type]
        (
            [upsert(_count("there", 2**62)), upsert(_count("there", 2**62))],
            "Count.deploys is 9223372036854775809, but the column takes an int of 64 bits",
        ),
        ([sql("SELECT 1")], "an sql operation needs a database: run the projection to see what it does"),
    ],
)
def test_a_batch_that_the_database_would_refuse_changes_nothing(operations: list[Any], said: str) -> None:
    tables = _tables(add(_count("there")))
    changes = _changes(insert(_count("a")), upsert(_count("b")), delete(Count, "acme", "c"), *operations)
    changes.bound[EMAIL] = "w"
    with pytest.raises(OperationError) as raised:
        tables.write(changes)
    assert str(raised.value) == said
    assert tables.rows(spec_of(Count)) == [_count("there")]
    assert tables.bindings([EMAIL]) == {EMAIL: None}


def test_rows_expire_by_the_time_of_their_own_org() -> None:
    alerts = [
        Alert(org_id=org_id, service=service, until=until)
        for org_id, service, until in (("acme", "a", 10), ("acme", "b", 11), ("acme", "c", None), ("other", "a", 1))
    ]
    tables = MemoryTables()
    changes = Changes(SPECS)
    for alert in alerts:
        changes.apply(alert.org_id, [insert(alert)])
    tables.write(changes)
    changes = Changes(SPECS)
    changes.pass_time("acme", 10)
    tables.write(changes)
    assert tables.rows(spec_of(Alert)) == alerts[1:]


def test_who_is_who_and_what_was_named_is_kept() -> None:
    changes = Changes(SPECS)
    changes.orgs.append(OrgFounded(fact_id="f", org_id="acme", name="Acme", salt=b"salt", occurred_at_us=1))
    changes.bound[EMAIL] = "w"
    changes.named["e"] = "acme"
    changes.rows = 3
    tables = MemoryTables()
    tables.write(changes)
    other = EMAIL._replace(value="bob@acme.test")
    assert tables.salts() == {"acme": b"salt"}
    assert tables.bindings([EMAIL, other]) == {EMAIL: "w", other: None}
    assert tables.taken(["e", "f"]) == {"e"}
    assert tables.applied == 3


@pytest.mark.parametrize("what", ["the org", "the identifier", "the named event"])
def test_nothing_of_that_is_written_twice(what: str) -> None:
    changes = Changes(SPECS)
    match what:
        case "the org":
            changes.orgs.append(OrgFounded(fact_id="f", org_id="acme", name="Acme", salt=b"salt", occurred_at_us=1))
        case "the identifier":
            changes.bound[EMAIL] = "w"
        case _:
            changes.named["e"] = "acme"
    tables = MemoryTables()
    tables.write(changes)
    with pytest.raises(OperationError, match=f"^{what} .* is there already$"):
        tables.write(changes)
