"""Who may create schemas and functions gets nobody else to run them."""

import secrets
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from psycopg import AsyncConnection, errors, sql
from psycopg.conninfo import conninfo_to_dict

from tests.support.fresh import Fresh
from wepeople_chassis.postgres import make_pool
from wepeople_projections.commands.load import built_in_sources, load_source
from wepeople_projections.commands.session import connection
from wepeople_projections.running.ownership import session_connection
from wepeople_projector import reading
from wepeople_projector.founding import found
from wepeople_provision.database import database_at
from wepeople_provision.errors import ProvisionError
from wepeople_provision.migrations import SchemaFile, installed_files
from wepeople_provision.provision import provision_database
from wepeople_provision.readers import create_reader

CREATE_SCHEMA = "CREATE SCHEMA {0}; GRANT USAGE ON SCHEMA {0} TO PUBLIC"
# Postgres' own take text and bigint: for an integer, one that takes it would be the better match.
CREATE_FUNCTIONS = """
CREATE FUNCTION {0}.lower(integer) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE 'planted'; END $$;
CREATE FUNCTION {0}.pg_advisory_lock(integer) RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE 'planted'; END $$;
CREATE FUNCTION {0}.pg_advisory_xact_lock(integer) RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE 'planted'; END $$
"""


async def plant(fresh: Fresh, role: str) -> None:
    """What the analyst would have others call, in the schema in which a session of `role` looks first."""
    async with await AsyncConnection.connect(fresh.dsn("analyst"), autocommit=True) as analyst:
        for statement in (CREATE_SCHEMA, CREATE_FUNCTIONS):
            await analyst.execute(sql.SQL(statement).format(sql.Identifier(role)))


def user(dsn: str) -> str:
    return str(conninfo_to_dict(dsn)["user"])


@asynccontextmanager
async def pooled(dsn: str) -> AsyncIterator[AsyncConnection[Any]]:
    async with make_pool(dsn, "tests") as pool, pool.connection() as one:
        yield one


@asynccontextmanager
async def of_a_session(dsn: str) -> AsyncIterator[AsyncConnection[Any]]:
    async with session_connection(make_pool(dsn, "tests")) as one:
        yield one


@asynccontextmanager
async def of_an_operator(dsn: str) -> AsyncIterator[AsyncConnection[Any]]:
    async with await reading.connect(dsn) as one:
        yield one


WAYS: dict[str, tuple[Any, str]] = {
    "a service's pool": (pooled, "projector"),
    "a writer's session": (of_a_session, "projector"),
    "a projection command": (connection, "projector"),
    "an operator's command": (of_an_operator, "operator"),
    "the provisioner": (database_at, "admin"),
}


@pytest.mark.parametrize("way", WAYS)
async def test_a_name_without_a_schema_is_postgres_own(fresh: Fresh, way: str) -> None:
    connect, who = WAYS[way]
    await plant(fresh, user(fresh.dsn(who)))
    connected: AbstractAsyncContextManager[AsyncConnection[Any]] = connect(fresh.dsn(who))
    async with connected as one:
        with pytest.raises(errors.UndefinedFunction):
            await one.execute("SELECT lower(7)")


async def test_what_the_address_says_about_its_session_still_holds(fresh: Fresh) -> None:
    async with pooled(f"{fresh.dsn('auth')}?options=-cwork_mem%3D1234kB") as one:
        assert await (await one.execute("SHOW work_mem")).fetchone() == ("1234kB",)
        assert await (await one.execute("SHOW search_path")).fetchone() == ("pg_catalog,pg_temp",)


async def test_a_projector_starts_beside_a_planted_schema(fresh: Fresh) -> None:
    await plant(fresh, "wepeople_projector")
    async with make_pool(fresh.dsn("projector"), "tests") as pool:
        await found(pool, load_source(built_in_sources()["live"]))


@pytest.mark.parametrize("who", ["admin", "projector", "operator"])
async def test_a_provisioner_refuses_a_schema_named_like_another_role_and_names_its_owner(
    fresh: Fresh, who: str
) -> None:
    role = user(fresh.dsn(who))
    await plant(fresh, role)
    with pytest.raises(ProvisionError, match=rf"{role} \(of wepeople_analyst\)"):
        await provision_database(fresh.admin_dsn, fresh.passwords, installed_files())


async def test_a_role_may_have_a_schema_of_its_own_name(fresh: Fresh) -> None:
    async with await AsyncConnection.connect(fresh.dsn("analyst"), autocommit=True) as analyst:
        await analyst.execute("CREATE SCHEMA wepeople_analyst")
    assert "schemas: nothing new" in await provision_database(fresh.admin_dsn, fresh.passwords, installed_files())


TELL_AS_WHOM = """
CREATE SCHEMA planted;
CREATE TABLE planted.ran_as (role name);
CREATE FUNCTION planted.tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RESET ROLE;
    INSERT INTO planted.ran_as VALUES (current_user);
    RETURN NEW;
END $$;
GRANT USAGE ON SCHEMA planted TO PUBLIC;
GRANT INSERT ON planted.ran_as TO PUBLIC
"""
NEXT = SchemaFile("auth", "900_next.sql", "UPDATE auth.plans SET org_requests_per_second = org_requests_per_second")
FOREIGN = SchemaFile("auth", "900_foreign.sql", "INSERT INTO provision.applied_files VALUES ('quota', '900.sql', '')")


async def ran_as(fresh: Fresh) -> set[Any]:
    async with await AsyncConnection.connect(fresh.admin_dsn) as admin:
        return {role for (role,) in await (await admin.execute("SELECT role FROM planted.ran_as")).fetchall()}


async def test_what_an_owner_put_behind_its_tables_runs_as_that_owner_in_a_migration(fresh: Fresh) -> None:
    async with await AsyncConnection.connect(fresh.dsn("auth"), autocommit=True) as auth:
        await auth.execute(TELL_AS_WHOM)
        await auth.execute(
            "CREATE TRIGGER tell BEFORE UPDATE ON auth.plans FOR EACH ROW EXECUTE FUNCTION planted.tell()"
        )
    done = await provision_database(fresh.admin_dsn, fresh.passwords, [*installed_files(), NEXT])
    assert "schema auth: 900_next.sql applied" in done
    assert await ran_as(fresh) == {"wepeople_auth"}


async def test_what_an_owner_put_behind_the_table_of_readers_runs_as_that_owner(fresh: Fresh) -> None:
    role = f"test_reader_{secrets.token_hex(4)}"
    async with await AsyncConnection.connect(fresh.dsn("projector"), autocommit=True) as projector:
        await projector.execute(TELL_AS_WHOM)
        await projector.execute(
            "CREATE TRIGGER tell BEFORE INSERT ON live.reader_orgs FOR EACH ROW EXECUTE FUNCTION planted.tell()"
        )
    await create_reader(fresh.admin_dsn, fresh.dsn("projector"), role, "secret", "org_1")
    assert await ran_as(fresh) == {"wepeople_projector"}


async def test_a_service_records_no_file_of_another(fresh: Fresh) -> None:
    with pytest.raises(ProvisionError, match=r"auth/900_foreign\.sql failed and left nothing behind"):
        await provision_database(fresh.admin_dsn, fresh.passwords, [*installed_files(), FOREIGN])
    async with await AsyncConnection.connect(fresh.dsn("auth"), autocommit=True) as auth:
        for statement in ("SELECT FROM provision.applied_files", "DELETE FROM provision.applied_files"):
            with pytest.raises(errors.InsufficientPrivilege):
                await auth.execute(statement)
