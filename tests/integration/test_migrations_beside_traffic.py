"""Migrations on a database that is in use: old and new code together, locks, failures in the middle, two at once."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from psycopg import AsyncConnection
from psycopg.errors import InsufficientPrivilege, UndefinedColumn

from tests.support.fresh import Fresh
from tests.support.read_models import eventually
from wepeople_chassis.tasks import end
from wepeople_provision.errors import ProvisionError
from wepeople_provision.migrations import SchemaFile, installed_files
from wepeople_provision.provision import ADVISORY_LOCK, provision_database
from wepeople_provision.schemas import Patience

HASTE = Patience(lock_seconds=0.3, attempts=2, pause_seconds=0.1, statement_seconds=2.0, turn_seconds=0.5)
PERSISTENCE = Patience(lock_seconds=0.3, attempts=60, pause_seconds=0.1)


def file(name: str, text: str, schema: str = "auth") -> SchemaFile:
    return SchemaFile(schema, name, text)


# A made-up member: release 1 knows a whole name, release 2 its two parts.
RELEASE_1 = [
    file(
        "901_people.sql",
        "CREATE SCHEMA people; CREATE TABLE people.people (id serial PRIMARY KEY, name text NOT NULL)",
    )
]
EXPAND = file(
    "902_two_names.sql",
    """
ALTER TABLE people.people ADD COLUMN first text, ADD COLUMN last text, ALTER COLUMN name DROP NOT NULL;
CREATE FUNCTION people.both_names() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.first := coalesce(NEW.first, split_part(NEW.name, ' ', 1));
    NEW.last := coalesce(NEW.last, split_part(NEW.name, ' ', 2));
    NEW.name := coalesce(NEW.name, NEW.first || ' ' || NEW.last);
    RETURN NEW;
END $$;
CREATE TRIGGER both_names BEFORE INSERT OR UPDATE ON people.people
    FOR EACH ROW EXECUTE FUNCTION people.both_names();
UPDATE people.people SET name = name;
""",
)
CONTRACT = file(
    "902_two_names.post.sql",
    """
DROP TRIGGER both_names ON people.people;
DROP FUNCTION people.both_names;
ALTER TABLE people.people DROP COLUMN name;
""",
)
RELEASE_2 = [*RELEASE_1, EXPAND, CONTRACT]


async def old_code(connection: AsyncConnection) -> None:
    """Stores somebody and reads everybody, as release 1 does."""
    await connection.execute("INSERT INTO people.people (name) VALUES ('Ada Lovelace')")
    found = await connection.execute("SELECT name FROM people.people WHERE name IS DISTINCT FROM 'Ada Lovelace'")
    assert await found.fetchall() == []


async def new_code(connection: AsyncConnection) -> None:
    """The same, as release 2 does."""
    await connection.execute("INSERT INTO people.people (first, last) VALUES ('Ada', 'Lovelace')")
    found = await connection.execute(
        "SELECT first, last FROM people.people WHERE (first, last) IS DISTINCT FROM ('Ada', 'Lovelace')"
    )
    assert await found.fetchall() == []


class Traffic:
    """Code that is run all the time; `longest_seconds` is the longest that one run had to wait."""

    def __init__(self, dsn: str, code: Callable[[AsyncConnection], Awaitable[None]]) -> None:
        self.runs = 0
        self.longest_seconds = 0.0
        self.task = asyncio.create_task(self._flow(dsn, code))

    async def more(self) -> None:
        """Wait until it has run some more; raises what the code met."""
        wanted = self.runs + 10

        async def runs() -> int:
            if self.task.done():
                self.task.result()
            return self.runs

        await eventually(runs, lambda count: count >= wanted, what="traffic")

    async def _flow(self, dsn: str, code: Callable[[AsyncConnection], Awaitable[None]]) -> None:
        async with await AsyncConnection.connect(dsn, autocommit=True) as connection:
            while True:
                began = time.monotonic()
                await code(connection)
                self.longest_seconds = max(self.longest_seconds, time.monotonic() - began)
                self.runs += 1
                await asyncio.sleep(0.005)


@asynccontextmanager
async def running(fresh: Fresh, code: Callable[[AsyncConnection], Awaitable[None]]) -> AsyncIterator[Traffic]:
    """Traffic as the service's role, before, during and after; raises what the code met."""
    traffic = Traffic(fresh.dsn("auth"), code)
    try:
        await traffic.more()
        yield traffic
        await traffic.more()
    finally:
        await end([traffic.task])


async def migrate(
    fresh: Fresh, files: Sequence[SchemaFile], *, after_rollout: bool = False, patience: Patience = PERSISTENCE
) -> list[str]:
    return await provision_database(
        fresh.admin_dsn,
        fresh.passwords,
        [*installed_files(), *files],
        after_rollout=after_rollout,
        patience=patience,
    )


async def one(dsn: str, query: str) -> Any:
    async with await AsyncConnection.connect(dsn, autocommit=True) as connection:
        row = await (await connection.execute(query)).fetchone()
        return row[0] if row else None


async def test_old_and_new_code_work_together_between_expand_and_contract(fresh: Fresh) -> None:
    await migrate(fresh, RELEASE_1)
    async with running(fresh, old_code):
        done = await migrate(fresh, RELEASE_2)
        assert "schema auth: 902_two_names.sql applied" in done
        assert "schema auth: 902_two_names.post.sql waits for `wepeople provision --after-rollout`" in done
        async with running(fresh, new_code):
            pass
    async with running(fresh, new_code):
        done = await migrate(fresh, RELEASE_2, after_rollout=True)
        assert "schema auth: 902_two_names.post.sql applied" in done
    with pytest.raises(UndefinedColumn):
        async with running(fresh, old_code):
            pass


async def test_the_next_release_waits_until_the_rollout_before_is_finished(fresh: Fresh) -> None:
    await migrate(fresh, RELEASE_1)
    await migrate(fresh, RELEASE_2)
    release_3 = [*RELEASE_2, file("903_more.sql", "ALTER TABLE people.people ADD COLUMN more text")]
    with pytest.raises(ProvisionError, match=r"902_two_names\.post\.sql"):
        await migrate(fresh, release_3)
    await migrate(fresh, RELEASE_2, after_rollout=True)
    assert "schema auth: 903_more.sql applied" in await migrate(fresh, release_3)


async def test_the_release_before_can_be_provisioned_again_after_an_expand(fresh: Fresh) -> None:
    await migrate(fresh, RELEASE_1)
    await migrate(fresh, RELEASE_2)
    assert "schema auth: 902_two_names.sql is of a newer release, and stays" in await migrate(fresh, RELEASE_1)
    async with running(fresh, old_code):
        pass
    await migrate(fresh, RELEASE_2, after_rollout=True)
    with pytest.raises(ProvisionError, match="newer release"):
        await migrate(fresh, RELEASE_1)


async def test_readers_go_on_while_a_file_waits_for_its_lock_and_it_is_applied_once_it_can_be(fresh: Fresh) -> None:
    await migrate(fresh, RELEASE_1)
    async with running(fresh, old_code) as traffic, await AsyncConnection.connect(fresh.admin_dsn) as slow_reader:
        await slow_reader.execute("SELECT count(*) FROM people.people")
        migrating = asyncio.create_task(migrate(fresh, RELEASE_2))
        await waits_for_a_lock(fresh)
        for _ in range(5):
            await traffic.more()
        assert not migrating.done()
        await slow_reader.rollback()
        assert "schema auth: 902_two_names.sql applied" in await migrating
    assert traffic.longest_seconds < PERSISTENCE.lock_seconds + 1.5


async def waits_for_a_lock(fresh: Fresh) -> None:
    await eventually(
        lambda: one(fresh.admin_dsn, "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'relation'"),
        bool,
        what="a migration that waits for its lock",
    )


async def test_a_lock_that_is_never_let_go_is_given_up_and_its_holder_named(fresh: Fresh) -> None:
    await migrate(fresh, RELEASE_1)
    patience = Patience(lock_seconds=0.6, attempts=2, pause_seconds=0.1)
    async with await AsyncConnection.connect(fresh.admin_dsn, application_name="nightly-report") as slow_reader:
        await slow_reader.execute("SELECT count(*) FROM people.people")
        with pytest.raises(ProvisionError, match=r"902_two_names\.sql waited 2 times.*nightly-report"):
            await migrate(fresh, RELEASE_2, patience=patience)
    assert "schema auth: 902_two_names.sql applied" in await migrate(fresh, RELEASE_2)


async def test_a_statement_that_takes_too_long_is_ended_and_leaves_nothing(fresh: Fresh) -> None:
    slow = file("901_slow.sql", "CREATE TABLE auth.slow (a int); SELECT pg_sleep(60)")
    with pytest.raises(ProvisionError, match=r"auth/901_slow\.sql has a statement that takes longer than 2 s"):
        await migrate(fresh, [slow], patience=HASTE)
    assert await one(fresh.admin_dsn, "SELECT to_regclass('auth.slow')") is None


async def test_a_file_may_take_its_time_where_it_says_so(fresh: Fresh) -> None:
    patient = file("901_patient.sql", "SET LOCAL statement_timeout = '20s'; SELECT pg_sleep(0.3)")
    assert "schema auth: 901_patient.sql applied" in await migrate(
        fresh, [patient], patience=Patience(statement_seconds=0.1)
    )
    assert await one(fresh.admin_dsn, "SHOW statement_timeout") == "0"


FIRST = file("901_first.sql", "CREATE TABLE auth.first (a int)")
BROKEN = file("902_second.sql", "CREATE TABLE auth.second (a int); INSERT INTO auth.second VALUES ('no number')")
MENDED = file("902_second.sql", "CREATE TABLE auth.second (a int); INSERT INTO auth.second VALUES (2)")
THIRD = file("903_third.sql", "CREATE TABLE auth.third AS SELECT * FROM auth.second")


async def test_after_a_file_that_failed_in_the_middle_the_mended_one_is_run_and_those_behind_it(fresh: Fresh) -> None:
    with pytest.raises(ProvisionError, match=r"auth/902_second\.sql failed and left nothing behind"):
        await migrate(fresh, [FIRST, BROKEN, THIRD])
    tables = "SELECT array_agg(relname::text ORDER BY 1) FROM pg_class WHERE relname IN ('first', 'second', 'third')"
    assert await one(fresh.admin_dsn, tables) == ["first"]
    done = await migrate(fresh, [FIRST, MENDED, THIRD])
    assert [line for line in done if "applied" in line] == [
        "schema auth: 902_second.sql applied",
        "schema auth: 903_third.sql applied",
    ]
    assert await one(fresh.admin_dsn, "SELECT a FROM auth.third") == 2


async def test_a_file_whose_record_cannot_be_written_has_done_nothing(fresh: Fresh) -> None:
    refuse = "ALTER TABLE provision.applied_files ADD CONSTRAINT nothing_more CHECK (file <> '901_first.sql') NOT VALID"
    async with await AsyncConnection.connect(fresh.admin_dsn, autocommit=True) as admin:
        await admin.execute(refuse)
        with pytest.raises(ProvisionError, match=r"auth/901_first\.sql failed and left nothing behind"):
            await migrate(fresh, [FIRST])
        assert await one(fresh.admin_dsn, "SELECT to_regclass('auth.first')") is None
        await admin.execute("ALTER TABLE provision.applied_files DROP CONSTRAINT nothing_more")
    assert "schema auth: 901_first.sql applied" in await migrate(fresh, [FIRST])


async def test_a_provisioner_that_is_killed_in_the_middle_of_a_file_leaves_nothing_and_lets_the_next_one_in(
    fresh: Fresh,
) -> None:
    endless = file("902_second.sql", "CREATE TABLE auth.second (a int); SELECT pg_sleep(10)")
    migrating = asyncio.create_task(migrate(fresh, [FIRST, endless]))
    kill = """SELECT bool_or(pg_terminate_backend(pid)) FROM pg_stat_activity
              WHERE query LIKE '%auth.second%' AND pid <> pg_backend_pid()"""
    await eventually(lambda: one(fresh.admin_dsn, kill), bool, what="a provisioner to kill")
    with pytest.raises(ProvisionError):
        await migrating
    assert "schema auth: 902_second.sql applied" in await migrate(fresh, [FIRST, MENDED], patience=HASTE)


async def test_a_second_provisioner_gives_up_when_the_first_one_never_ends(fresh: Fresh) -> None:
    async with await AsyncConnection.connect(fresh.admin_dsn, autocommit=True) as first:
        await first.execute("SELECT pg_advisory_lock(%s)", [ADVISORY_LOCK])
        with pytest.raises(ProvisionError, match="Another provisioner"):
            await migrate(fresh, [FIRST], patience=HASTE)
    assert "schema auth: 901_first.sql applied" in await migrate(fresh, [FIRST], patience=HASTE)


async def test_five_provisioners_at_once_apply_everything_once(fresh: Fresh) -> None:
    done = await asyncio.gather(*(migrate(fresh, [FIRST, MENDED, THIRD]) for _ in range(5)))
    applied = [line for lines in done for line in lines if "applied" in line]
    assert len(applied) == len(set(applied)) == 3


async def test_a_new_grant_reaches_tables_that_are_there_already(fresh: Fresh) -> None:
    await migrate(fresh, RELEASE_1)
    with pytest.raises(InsufficientPrivilege):
        await one(fresh.dsn("operator"), "SELECT count(*) FROM people.people")
    grants = file(
        "904_grants.sql",
        "GRANT USAGE ON SCHEMA people TO wepeople_operator; GRANT SELECT ON people.people TO wepeople_operator",
    )
    await migrate(fresh, [*RELEASE_1, grants])
    assert await one(fresh.dsn("operator"), "SELECT count(*) FROM people.people") == 0
