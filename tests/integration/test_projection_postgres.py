"""Changes in Postgres: the same rows as in memory, whatever the operations and values; and what Postgres refuses."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from hypothesis import example, given, settings
from psycopg import AsyncConnection

from tests.support.every_kind import DEFINITION, SPECS, Keyed, Merged, Message, Newest, Perhaps, Seen, Session, batches
from tests.support.fresh import Fresh
from wepeople_chassis.stream import StoredMessage
from wepeople_contracts.directory import OrgFounded
from wepeople_projections import OperationError, add, insert, sql, upsert
from wepeople_projections.batch.changes import Changes
from wepeople_projections.batch.months import months_of
from wepeople_projections.batch.tables import MemoryTables
from wepeople_projections.definition.columns import Column, Kind
from wepeople_projections.definition.operations import Operation
from wepeople_projections.definition.table import Row, TableSpec, spec_of
from wepeople_projections.folding.identity import Identifier
from wepeople_projections.folding.parked import WHOLE_MESSAGE, Parked
from wepeople_projections.postgres.about import About
from wepeople_projections.postgres.ddl import create_schema
from wepeople_projections.postgres.months import make_pieces
from wepeople_projections.postgres.write import refused, will_pass, write_changes

SCHEMA = "every_v1"
ABOUT = About(name="every", version=1, source="every.py:Every", code_sha256="c", tables_sha256="t")
MOMENT = datetime(2026, 4, 1, 9, tzinfo=UTC)

_AS_TEXT = (Kind.JSON, Kind.JSONB)
_READ: Mapping[Kind, Any] = {
    Kind.RAW_TEXT: str.encode,
    Kind.JSON: str.encode,
    Kind.JSONB: str.encode,
    Kind.INSTANT: lambda at: (at - datetime(1970, 1, 1, tzinfo=UTC)) // (datetime.resolution),
    Kind.DATETIME: lambda at: at.astimezone(UTC),
}


@pytest.fixture
async def connection(fresh: Fresh) -> AsyncIterator[AsyncConnection[Any]]:
    """An analyst's, whose session has ways of its own; with the schema."""
    async with await AsyncConnection.connect(fresh.dsn("analyst"), autocommit=True) as connected:
        await connected.execute("SET TimeZone = 'Asia/Tokyo'; SET DateStyle = 'German, DMY'")
        await create_schema(connected, DEFINITION, SCHEMA, ABOUT)
        yield connected


async def write(connection: AsyncConnection[Any], changes: Changes) -> None:
    months = {spec.name: months for spec, months in months_of(changes).items()}
    async with connection.transaction():
        await make_pieces(connection, SCHEMA, months)
    async with connection.transaction():
        await write_changes(connection, SCHEMA, changes)


def changed(*operations: Operation) -> Changes:
    changes = Changes(SPECS)
    changes.apply("org_1", operations)
    return changes


async def stored(connection: AsyncConnection[Any], spec: TableSpec) -> list[str]:
    """A table's rows, each value such that what is equal but not the same is told apart."""
    columns = ", ".join(f'"{c.name}"{"::text" * (c.kind in _AS_TEXT)}' for c in spec.columns)
    cursor = await connection.execute(f'SELECT {columns} FROM {SCHEMA}."{spec.name}"', binary=True)
    found = [[_value(c, value) for c, value in zip(spec.columns, row, strict=True)] for row in await cursor.fetchall()]
    return sorted(map(repr, found))


def _value(column: Column, value: Any) -> Any:
    read = _READ.get(column.kind)
    return value if read is None or value is None else read(value)


def expected(tables: MemoryTables, spec: TableSpec) -> list[str]:
    def value(column: Column, row: Row) -> Any:
        held = getattr(row, column.name)
        return (
            held.astimezone(UTC)
            if isinstance(held, datetime)
            else _numeric(held)
            if column.kind is Kind.DECIMAL
            else held
        )

    return sorted(repr([value(column, row) for column in spec.columns]) for row in tables.rows(spec))


def _numeric(held: Any) -> Any:
    """As Postgres shows it: without an exponent above zero, and without a zero's sign."""
    return None if held is None else Decimal(f"{held.copy_abs() if held.is_zero() else held:f}")


def gathered(batch: list[Message]) -> Changes:
    """A batch's changes; what cannot be applied leaves no trace."""
    changes = Changes(SPECS)
    for org_id, stored_at_us, rows in batch:
        changes.pass_time(org_id, stored_at_us)
        for operations in rows:
            with suppress(OperationError):
                changes.apply(org_id, operations)
    return changes


def refusal_in_memory(tables: MemoryTables, changes: Changes) -> Exception | None:
    try:
        tables.write(changes)
    except OperationError as error:
        return error
    return None


async def refusal(connection: AsyncConnection[Any], changes: Changes) -> Exception | None:
    """Write, unless it is refused."""
    try:
        await write(connection, changes)
    except Exception as error:
        if not refused(error):
            raise
        return error
    return None


def perhaps(**values: Any) -> Perhaps:
    nothing = dict.fromkeys(set(Perhaps.__struct_fields__) - {"org_id", "n"})
    return Perhaps(**{"org_id": "org_1", "n": 0, **nothing, **values})


def merged(**values: Any) -> Merged:
    plain: dict[str, Any] = {
        "org_id": "org_1",
        "n": 0,
        "first": None,
        "known": None,
        "known_json": b"{}",
        "total": 0,
        "price": Decimal("0.00"),
        "least": "a",
        "least_price": Decimal("1.0"),
        "greatest": 0.1,
        "latest": MOMENT,
        "ever": True,
        "united": ["a", "b"],
        "order": "",
    }
    return Merged(**(plain | values))


def newest() -> Newest:
    return Newest(org_id="org_1", n=0, at=0, then="", exact=Decimal(1), as_sent=b"{}")


def session(until: int) -> Operation:
    return upsert(Session(org_id="org_1", text="", n=0, until=until, hits=1))


def total(number: int) -> Keyed:
    return Keyed(
        org_id="org_1",
        text="",
        number=1,
        small=1,
        yes=True,
        day=MOMENT.date(),
        moment=MOMENT,
        instant=0,
        total=number,
        price=Decimal(0),
    )


def noise(length: int) -> str:
    """Text that cannot be made much shorter."""
    return "".join(hashlib.sha256(str(n).encode()).hexdigest() for n in range(length // 64))


@pytest.mark.slow
async def test_any_operations_in_any_batches_make_the_rows_that_they_make_in_memory(
    connection: AsyncConnection[Any],
) -> None:
    async def compare(history: list[list[Message]]) -> None:
        for spec in SPECS:
            await connection.execute(f'DELETE FROM {SCHEMA}."{spec.name}"')
        tables = MemoryTables()
        for batch in history:
            changes = gathered(batch)
            refusals = refusal_in_memory(tables, changes), await refusal(connection, changes)
            assert [one is None for one in refusals] in ([True, True], [False, False]), refusals
            for spec in SPECS:
                assert await stored(connection, spec) == expected(tables, spec)

    loop = asyncio.get_running_loop()

    @settings(max_examples=150, deadline=None)
    @given(batches())
    # A row of the table that is merged, and then expires by what it was before.
    @example([[("org_1", 0, [[session(15)]])], [("org_1", 10, [[session(30)]]), ("org_1", 20, [])]])
    # What is equal, and yet another value.
    @example([[("org_1", 0, [[upsert(perhaps(exact=exact))]])] for exact in (Decimal("1.0"), Decimal("1.00"))])
    @example([[("org_1", 0, [[upsert(perhaps(inexact=zero))]])] for zero in (0.0, -0.0)])
    @example([[("org_1", 0, [[upsert(perhaps(for_queries=one))]])] for one in (b"1.0", b"1.00")])
    @example([[("org_1", 0, [[upsert(perhaps(as_sent=one))]])] for one in (b"1", b" 1")])
    def check(history: list[list[Message]]) -> None:
        asyncio.run_coroutine_threadsafe(compare(history), loop).result(30)

    await asyncio.to_thread(check)


REFUSED: dict[str, tuple[Operation, ...]] = {
    "a key twice": (insert(Seen(org_id="org_1", n=7)),),
    "a NUL": (insert(perhaps(text="a\0b")),),
    "half of a character": (insert(perhaps(raw=b"\xc3")),),
    "half of a surrogate pair": (insert(perhaps(text="\ud800")),),
    "an integer beyond bigint": (insert(perhaps(number=2**63)),),
    "an instant beyond the year 9999": (insert(perhaps(instant=2**62)),),
    "no number": (insert(perhaps(exact=Decimal("NaN"))),),
    "no JSON": (insert(perhaps(as_sent=b"{")),),
    "JSON that JSONB cannot hold": (insert(perhaps(for_queries=b'"\\u0000"')),),
    "the same, merged": (upsert(perhaps(for_queries=b'"\\u0000"')),),
    "None where there must be a value": (insert(Session(org_id="org_1", text="", n=0, until=None, hits=None)),),  # type: ignore[arg-type]
    "a key beyond an index": (insert(Session(org_id="org_1", text=noise(9_000), n=0, until=None, hits=0)),),
    "a sum beyond bigint": (add(total(2**62)), insert(Seen(org_id="org_1", n=1)), add(total(2**62))),
    "parameters of no type": (sql("SELECT %(it)s", it=object()),),
    "a parameter with a NUL": (sql("SELECT %(it)s", it="\0"),),
    "a parameter that is no text": (sql("SELECT %(it)s", it="\ud800"),),
    "a statement that its values do not fit": (sql("SELECT 1 / %(it)s", it=0),),
}


@pytest.mark.parametrize("what", REFUSED)
async def test_what_can_never_be_stored_is_refused_for_good_and_leaves_nothing(
    connection: AsyncConnection[Any], what: str
) -> None:
    await write(connection, changed(insert(Seen(org_id="org_1", n=7))))
    error = await refusal(connection, changed(insert(Seen(org_id="org_1", n=8)), *REFUSED[what]))
    assert error is not None
    assert not (isinstance(error, psycopg.Error) and will_pass(error))
    assert await stored(connection, spec_of(Seen)) == ["['org_1', 7]"]
    assert await refusal(connection, changed(insert(Seen(org_id="org_1", n=8)))) is None


async def test_statements_run_between_the_operations_before_and_after_them_in_the_projections_schema(
    connection: AsyncConnection[Any],
) -> None:
    moved = sql("UPDATE seen SET n = n + %(by)s WHERE org_id = %(org_id)s", by=10, org_id="org_1")
    seen = [insert(Seen(org_id="org_1", n=n)) for n in range(2)]
    before = await (await connection.execute("SHOW search_path")).fetchone()
    await write(connection, changed(seen[0], moved, seen[1], moved, sql("DELETE FROM seen WHERE n = 11")))
    assert await stored(connection, spec_of(Seen)) == ["['org_1', 20]"]
    assert await (await connection.execute("SHOW search_path")).fetchone() == before


async def test_what_is_there_and_does_not_change_is_not_written_again(connection: AsyncConnection[Any]) -> None:
    seen = [upsert(merged()), upsert(Seen(org_id="org_1", n=0)), upsert(newest())]
    await write(connection, changed(*seen))
    before = await places(connection)
    await write(connection, changed(*seen))
    assert await places(connection) == before
    await write(connection, changed(upsert(merged(least_price=Decimal("0.9")))))
    assert await places(connection) != before


async def places(connection: AsyncConnection[Any]) -> list[Any]:
    """Where the rows are; a row that is written again is elsewhere."""
    return [
        await (await connection.execute(f'SELECT ctid::text FROM {SCHEMA}."{spec_of(row).name}"')).fetchall()
        for row in (Merged, Seen, Newest)
    ]


async def test_founded_orgs_identifiers_and_named_events_are_stored_once(connection: AsyncConnection[Any]) -> None:
    changes = Changes(SPECS)
    changes.orgs = [OrgFounded(fact_id="f", org_id="org_1", name="Acme", salt=b"salt\0", occurred_at_us=1)]
    changes.bound = {Identifier("org_1", "email", "org_1", value): "wrk_1" for value in ("b", "a", "é")}
    changes.named = {"evt_2": "org_1", "evt_1": "org_1"}
    await write(connection, changes)
    tables = {"orgs": "org_id, name, salt", "identifiers": "value, worker_id", "named_events": "event_id, org_id"}
    found = {
        table: await (await connection.execute(f"SELECT {columns} FROM {SCHEMA}.{table} ORDER BY 1")).fetchall()
        for table, columns in tables.items()
    }
    assert found == {
        "orgs": [("org_1", "Acme", b"salt\0")],
        "identifiers": [("a", "wrk_1"), ("b", "wrk_1"), ("é", "wrk_1")],
        "named_events": [("evt_1", "org_1"), ("evt_2", "org_1")],
    }
    for part in ("orgs", "bound", "named"):
        again = Changes(SPECS)
        setattr(again, part, getattr(changes, part))
        assert await refusal(connection, again) is not None


@pytest.mark.parametrize("fault", [{"name": "a\0b"}, {"occurred_at_us": 2**62 * 3}, {"occurred_at_us": -(2**60)}])
async def test_an_org_that_cannot_be_stored_is_refused(connection: AsyncConnection[Any], fault: dict[str, Any]) -> None:
    plain: dict[str, Any] = {"fact_id": "f", "org_id": "org_1", "name": "Acme", "salt": b"salt", "occurred_at_us": 1}
    changes = Changes(SPECS)
    changes.orgs = [OrgFounded(**(plain | fault))]
    assert await refusal(connection, changes) is not None


async def test_a_parked_message_is_kept_once_and_each_row_of_it_with_its_reason(
    connection: AsyncConnection[Any],
) -> None:
    message = StoredMessage(7, "ingest.3.org_1.app_1.events", "id", 1_775_034_000_000_000_999, b"\0data")
    changes = Changes(SPECS)
    changes.parked = [
        Parked(message, 0, "org_1", "wrk_1", "no \0 and no \ud800" + "x" * 5_000),
        Parked(message, 1, "org_1", "wrk_1", "it waits", waits=True),
        Parked(replace(message, sequence=8), WHOLE_MESSAGE, "org_1", "", "no envelope"),
    ]
    await write(connection, changes)
    cursor = await connection.execute(f"SELECT sequence, message_id, data FROM {SCHEMA}.parked_messages ORDER BY 1")
    assert await cursor.fetchall() == [(7, "id", b"\0data"), (8, "id", b"\0data")]
    cursor = await connection.execute(
        f"SELECT sequence, row_index, worker_id, status, left(reason, 13) FROM {SCHEMA}.parked ORDER BY 1, 2"
    )
    assert await cursor.fetchall() == [
        (7, 0, "wrk_1", "parked", "no \N{REPLACEMENT CHARACTER} and no ?"),
        (7, 1, "wrk_1", "waiting", "it waits"),
        (8, -1, "", "parked", "no envelope"),
    ]
