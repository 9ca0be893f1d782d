"""Nobody who acts for one org sees or changes a row of another, in any table or view that there is.

The catalog says what there is, so a new table without policies fails here.
"""

import secrets
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import pytest
from psycopg import AsyncConnection, errors, sql

from tests.integration.test_projection_schema import Things
from tests.support.engines import ground_of
from tests.support.fresh import Fresh
from tests.support.org_tables import Relation, faults, fill, relations
from wepeople_chassis.postgres import act_for_org, make_pool
from wepeople_projections.commands.load import built_in_sources, load_source
from wepeople_projections.definition.month import month_of
from wepeople_projections.postgres.months import make_pieces
from wepeople_projections.postgres.views import serve
from wepeople_projector.founding import found
from wepeople_provision.dsn import login_dsn
from wepeople_provision.migrations import installed_files
from wepeople_provision.provision import provision_database
from wepeople_provision.readers import create_reader
from wepeople_provision.roles import LOGIN_ROLES, READER_ROLE

OURS, THEIRS = "org_ours", "org_theirs"
ACTING_FOR_ONE = ("auth", "quota", "projector", "analyst")
FILLED_MONTH = month_of(date(2099, 1, 1))
"""The one in which every row is filled in."""
PLANTED = "CREATE TABLE live_v1.planted PARTITION OF live_v1.timeline FOR VALUES FROM ('2098-01-01') TO ('2099-01-01')"
STRICT = ("auth", "quota")
"""Roles that see nothing unless their transaction says for which org it acts, or that it acts for all."""


@dataclass(frozen=True, slots=True)
class Walk:
    """A database with the tables of all services, the built-in projection's, and an analyst's, filled for two orgs."""

    fresh: Fresh
    admin: AsyncConnection[Any]
    everything: Sequence[Relation]

    async def rows_of(self, relation: Relation, org_id: str) -> int:
        """How many there are, as the superuser sees them."""
        statement = sql.SQL("SELECT count(*) FROM {} AS t WHERE t::text LIKE {}")
        cursor = await self.admin.execute(statement.format(relation.target, sql.Literal(f"%{org_id}%")))
        [count] = await cursor.fetchone() or [0]
        return int(count)

    async def shown(self, connection: AsyncConnection[Any]) -> dict[str, tuple[int, bool]]:
        """Of everything that the connection may read: how many rows, and whether one of them tells of the other org."""
        seen = {}
        for relation in self.everything:
            if relation.is_of_orgs:
                try:
                    async with connection.transaction():
                        count = sql.SQL("SELECT count(*) FROM {}").format(relation.target)
                        [rows] = await (await connection.execute(count)).fetchone() or [0]
                        text = sql.SQL("SELECT t::text FROM {} AS t").format(relation.target)
                        lines = await (await connection.execute(text)).fetchall() if rows else []
                        seen[str(relation)] = (rows, any(THEIRS in line for (line,) in lines))
                except errors.InsufficientPrivilege:
                    continue
        return seen


@pytest.fixture
async def walk(fresh: Fresh) -> AsyncIterator[Walk]:
    async with ground_of(fresh, "analyst") as ground, await AsyncConnection.connect(fresh.dsn("analyst")) as analyst:
        await ground.create(Things)
        await serve(analyst, "things", "things_v1")
    pool = make_pool(fresh.dsn("projector"), "tests")
    await pool.open()
    try:
        await found(pool, load_source(built_in_sources()["live"]))
        async with pool.connection() as projector:
            await make_pieces(projector, "live_v1", {"timeline": {FILLED_MONTH}})
    finally:
        await pool.close()
    async with await AsyncConnection.connect(fresh.admin_dsn, autocommit=True) as admin:
        everything = await relations(admin)
        await fill(admin, everything, [OURS, THEIRS])
        yield Walk(fresh, admin, everything)


@pytest.fixture
async def reader(walk: Walk) -> AsyncIterator[AsyncConnection[Any]]:
    """A login of our org."""
    role = f"test_reader_{secrets.token_hex(4)}"
    await create_reader(walk.fresh.admin_dsn, walk.fresh.dsn("projector"), role, "secret", OURS)
    async with await AsyncConnection.connect(login_dsn(walk.fresh.admin_dsn, role, "secret")) as connection:
        yield connection
        await connection.close()
    await walk.admin.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(sql.Identifier(role)))


async def test_every_table_and_view_asks_who_looks(walk: Walk) -> None:
    assert faults(walk.everything) == []


@pytest.mark.parametrize(
    ("role", "statement", "fault"),
    [
        ("projector", "CREATE TABLE live.extra (org_id text)", "live.extra: row security is not forced"),
        ("auth", "CREATE TABLE auth.notes (note text)", "auth.notes: row security is not forced"),
        (
            "quota",
            "ALTER TABLE quota.org_usage NO FORCE ROW LEVEL SECURITY",
            "quota.org_usage: row security is not forced",
        ),
        (
            "analyst",
            "CREATE VIEW things.mine AS SELECT * FROM things_v1.thing",
            "things.mine: a view with the rights of its owner",
        ),
        (
            "analyst",
            "CREATE MATERIALIZED VIEW things.kept AS SELECT * FROM things_v1.thing",
            "things.kept: neither a table nor a view: row security does not hold for it",
        ),
        (
            "projector",
            'GRANT SELECT ON live_v1."Door of timeline" TO wepeople_projector',
            "live_v1.Door of timeline: a door with wepeople_projector INSERT, wepeople_projector SELECT",
        ),
        ("projector", PLANTED, "live_v1.planted: row security is not forced"),
    ],
)
async def test_a_new_table_view_or_right_that_does_not_ask_is_found(
    walk: Walk, role: str, statement: str, fault: str
) -> None:
    async with await AsyncConnection.connect(walk.fresh.dsn(role)) as owner:
        await owner.execute(statement.encode())
    assert faults(await relations(walk.admin)) == [fault]


async def test_there_are_rows_of_the_other_org_everywhere_to_be_found(walk: Walk) -> None:
    empty = [str(r) for r in walk.everything if r.is_of_orgs and not await walk.rows_of(r, THEIRS)]
    assert empty == []


async def test_a_reader_sees_its_org_alone(walk: Walk, reader: AsyncConnection[Any]) -> None:
    seen = await walk.shown(reader)
    assert {name for name, (_, theirs) in seen.items() if theirs} == set()
    assert {name: rows for name, (rows, _) in seen.items() if rows != 1} == {}, "each has one row of our org"
    assert {"live.timeline", "live.workers", "live.requests", "live_v1.commits", "things.thing"} <= seen.keys()


async def test_a_reader_sees_its_org_alone_in_a_month_that_somebody_has_planted_and_no_month_by_itself(
    walk: Walk, reader: AsyncConnection[Any]
) -> None:
    await walk.admin.execute(PLANTED)
    await walk.admin.execute("ALTER TABLE live_v1.planted OWNER TO wepeople_projector")
    await walk.admin.execute(
        """INSERT INTO live_v1.planted SELECT (jsonb_populate_record(t, '{"occurred_at": "2098-06-01"}')).*
        FROM live_v1.timeline t"""
    )
    seen = await (await reader.execute("SELECT org_id, extract(year FROM occurred_at) FROM live.timeline")).fetchall()
    assert sorted(seen) == [(OURS, 2098), (OURS, 2099)]
    for piece in ("planted", '"timeline 2099-01"'):
        with pytest.raises(errors.InsufficientPrivilege):
            await reader.execute(f"SELECT FROM live_v1.{piece}".encode())
        await reader.rollback()


@pytest.mark.parametrize("role", ACTING_FOR_ONE)
async def test_a_service_that_acts_for_an_org_sees_and_changes_that_one_alone(walk: Walk, role: str) -> None:
    async with await AsyncConnection.connect(walk.fresh.dsn(role)) as connection:
        await act_for_org(connection, OURS)
        seen = await walk.shown(connection)
        assert {name for name, (rows, theirs) in seen.items() if theirs or rows > 1} == set()
        mine = [r for r in walk.everything if r.is_of_orgs and r.is_table and r.owner == f"wepeople_{role}"]
        assert mine, "it owns tables"
        for relation in mine:
            for change in ("DELETE FROM {}", "UPDATE {} SET {} = NULL"):
                column = sql.Identifier(relation.columns[-1])
                changed = await _rows_changed(connection, sql.SQL(change).format(relation.target, column))
                assert changed <= 1, f"{change} of {relation}"


@pytest.mark.parametrize("role", ACTING_FOR_ONE)
async def test_a_service_that_acts_for_an_org_writes_no_row_of_another(walk: Walk, role: str) -> None:
    mine = [r for r in walk.everything if r.is_of_orgs and r.is_table and r.owner == f"wepeople_{role}"]
    for relation in mine:
        columns = sql.SQL(", ").join(map(sql.Identifier, relation.columns))
        theirs = sql.SQL("SELECT row_to_json(t)::text FROM {} AS t WHERE t::text LIKE {}")
        statement = theirs.format(relation.target, sql.Literal(f"%{THEIRS}%"))
        [row] = await (await walk.admin.execute(statement)).fetchone() or [None]
        insert = sql.SQL("INSERT INTO {0} ({1}) SELECT {1} FROM json_populate_record(NULL::{0}, {2}::json)")
        async with await AsyncConnection.connect(walk.fresh.dsn(role)) as connection:
            await act_for_org(connection, OURS)
            # Not by its key: the policy is asked before the index.
            with pytest.raises(errors.InsufficientPrivilege, match="row-level security"):
                await connection.execute(insert.format(relation.target, columns, sql.Literal(row)))
            await connection.rollback()


@pytest.mark.parametrize("role", STRICT)
async def test_a_service_that_does_not_say_for_whom_it_acts_sees_nothing(walk: Walk, role: str) -> None:
    async with await AsyncConnection.connect(walk.fresh.dsn(role)) as connection:
        seen = await walk.shown(connection)
        assert seen, "it may read tables"
        assert {name: rows for name, (rows, _) in seen.items() if rows} == {}


async def test_the_org_that_a_transaction_acts_for_ends_with_it(walk: Walk) -> None:
    async with await AsyncConnection.connect(walk.fresh.dsn("auth")) as connection:
        await act_for_org(connection, OURS)
        assert await (await connection.execute("SELECT org_id FROM auth.orgs")).fetchall() == [(OURS,)]
        await connection.commit()
        assert await (await connection.execute("SELECT org_id FROM auth.orgs")).fetchall() == []


async def test_no_function_lends_its_owners_rights(walk: Walk) -> None:
    query = """
        SELECT p.oid::regprocedure::text FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        WHERE p.prosecdef AND n.nspname NOT IN ('pg_catalog', 'information_schema')
    """
    assert await (await walk.admin.execute(query)).fetchall() == []


async def test_no_role_of_ours_stands_above_the_policies(walk: Walk) -> None:
    query = """
        SELECT r.rolname, r.rolsuper OR r.rolbypassrls OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication,
               ARRAY(SELECT roleid::regrole::text FROM pg_auth_members m WHERE m.member = r.oid)
        FROM pg_roles r WHERE r.rolname = ANY (%s)
    """
    found = await (await walk.admin.execute(query, [[*LOGIN_ROLES, READER_ROLE]])).fetchall()
    assert sorted(found) == sorted((role, False, []) for role in (*LOGIN_ROLES, READER_ROLE))


async def test_what_somebody_lent_a_role_is_taken_back_by_the_provisioner(walk: Walk) -> None:
    await walk.admin.execute("ALTER ROLE wepeople_quota SUPERUSER BYPASSRLS")
    await walk.admin.execute("ALTER ROLE wepeople_reader CREATEROLE")
    done = await provision_database(walk.fresh.admin_dsn, walk.fresh.passwords, installed_files())
    assert "role wepeople_quota: NOSUPERUSER NOBYPASSRLS set" in done
    query = "SELECT rolname FROM pg_roles WHERE (rolsuper OR rolbypassrls OR rolcreaterole) AND rolname ~ '^wepeople'"
    assert await (await walk.admin.execute(query)).fetchall() == []


async def _rows_changed(connection: AsyncConnection[Any], statement: sql.Composed) -> int:
    """How many rows it would change; none where it may not."""
    try:
        async with connection.transaction(force_rollback=True):
            return (await connection.execute(statement)).rowcount
    except (errors.InsufficientPrivilege, errors.IntegrityError):
        return 0
