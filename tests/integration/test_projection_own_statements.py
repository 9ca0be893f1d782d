"""A projection's own statements: what cannot be run parks its row, and none of them ends the batch's transaction."""

from collections.abc import AsyncIterator, Sequence

import psycopg
import pytest

from tests.support.engines import Ground, ground_of
from tests.support.fresh import Fresh
from tests.support.poisoned import ORG, events, parked, reasons, request
from tests.support.stored import founded
from tests.support.tally import POISON, Tally
from wepeople_projections import Event, Operation, on_event, sql
from wepeople_projections.batch.changes import Changes
from wepeople_projections.definition.projection import Definition, define
from wepeople_projections.postgres.write import refused, write_changes

ENDS_THE_TRANSACTION = (
    "COMMIT",
    "rollback",
    " -- over\n/* and out */ (END",
    "/* /* */ SELECT 1 */ COMMIT",
    "SAVEPOINT mine",
    "BEGIN",
    "START TRANSACTION",
    "SELECT 1; COMMIT",
    "DELETE FROM person; ROLLBACK; BEGIN",
)
CANNOT_BE_RUN = (
    "",
    "-- nothing",
    "SET search_path = pg_catalog",
    "DROP TABLE person",
    "DELETE FROM live.reader_orgs",
    "DELETE FROM auth.keys",
    "DELETE FROM nowhere",
    "UPDATE person SET nothing = 1",
    "DELETE FROM",
    "SELECT lower(7)",
    "SELECT (SELECT n FROM generate_series(1, 2) AS n)",
    "INSERT INTO pg_catalog.pg_tables (tablename) VALUES ('x')",
    "SELECT %(missing)s",
    "SELECT '%'",
)
PASSED = ("SELECT 1", "-- counted\n/* by day */ (SELECT 1)", "WITH a AS (SELECT 1) SELECT * FROM a", "select '%%'")


@pytest.fixture
async def ground(fresh: Fresh) -> AsyncIterator[Ground]:
    async with ground_of(fresh, "analyst") as ground:
        yield ground


def running(statement: str) -> Definition:
    """A tally that runs the statement for poison, after what it does for every event."""

    class Own(Tally):
        @on_event()
        def happened(self, event: Event) -> Sequence[Operation]:
            if event.event_type != POISON:
                return list(super().happened(event))
            first: Operation = sql(
                "UPDATE person SET conflicts = conflicts + 1 WHERE org_id = %(org)s", org=event.org_id
            )
            return [first, sql(statement)]

    return define(Own)


@pytest.mark.parametrize("statement", [*ENDS_THE_TRANSACTION, *CANNOT_BE_RUN])
async def test_a_statement_that_cannot_be_run_parks_its_row_and_leaves_no_trace(ground: Ground, statement: str) -> None:
    await ground.create(Tally)
    last = await ground.store(founded(ORG), request(("a", "w1"), (POISON, "w1")), request(("b", "w2")))

    await ground.build(running(statement), "tally_v1")

    assert await parked(ground) == [(2, 1, "parked", 0)]
    assert await events(ground) == [(2, "a"), (3, "b")]
    assert set((await ground.positions("tally_v1")).values()) == {last}
    assert await ground.rows("SELECT FROM tally_v1.person WHERE conflicts > 0") == []
    assert statement in (await reasons(ground))[0].encode().decode("unicode_escape")


@pytest.mark.parametrize("statement", PASSED)
async def test_a_statement_may_begin_with_comments_and_be_of_any_kind_that_is_about_rows(
    ground: Ground, statement: str
) -> None:
    await ground.create(Tally)
    await ground.store(founded(ORG), request(("a", "w1"), (POISON, "w1")))
    await ground.build(running(statement), "tally_v1")
    assert await parked(ground) == []


async def test_a_statement_that_would_be_run_another_time_is_no_fault_of_the_row(ground: Ground) -> None:
    tally = await ground.create(Tally)
    changes = Changes(tally.tables)
    changes.apply(ORG, [sql("SELECT pg_sleep(10)")])
    async with ground.pool.connection() as connection:
        await connection.execute("SET LOCAL statement_timeout = 100")
        with pytest.raises(psycopg.errors.QueryCanceled) as raised:
            await write_changes(connection, "tally_v1", changes)
        await connection.rollback()
    assert not refused(raised.value)


async def test_what_is_no_text_is_no_statement(ground: Ground) -> None:
    await ground.create(Tally)
    await ground.store(founded(ORG), request((POISON, "w1")))
    await ground.build(running(b"SELECT 1"), "tally_v1")  # type: ignore[arg-type]
    assert "takes a statement as text, not bytes" in (await reasons(ground))[0]
