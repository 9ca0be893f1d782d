"""The provisioner against real servers."""

import asyncio
import json
import os
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client
from nats.js.api import StreamConfig
from psycopg import AsyncConnection, OperationalError, sql
from psycopg.errors import InsufficientPrivilege, ReadOnlySqlTransaction

from tests.support.fresh import Fresh
from tests.support.nats_users import nats_as, nats_environment
from wepeople_chassis.broker import NatsAddress, connect
from wepeople_provision.dsn import login_dsn
from wepeople_provision.errors import ProvisionError
from wepeople_provision.migrations import SchemaFile, installed_files
from wepeople_provision.provision import provision, provision_database
from wepeople_provision.readers import create_reader
from wepeople_provision.stream import provision_streams

NOTES = SchemaFile(
    "auth", "900_notes.sql", "CREATE TABLE auth.notes (note text); INSERT INTO auth.notes VALUES ('{%s}')"
)


@pytest.fixture
async def nats(fresh: Fresh) -> AsyncIterator[Client]:
    connection = await connect(NatsAddress(fresh.nats_url), "test-provision")
    yield connection
    await connection.close()


def with_installed(*more: SchemaFile) -> list[SchemaFile]:
    return [*installed_files(), *more]


async def one(dsn: str, query: str) -> Any:
    async with await AsyncConnection.connect(dsn) as connection:
        row = await (await connection.execute(query)).fetchone()
        return row[0] if row else None


async def test_a_second_run_changes_nothing(fresh: Fresh) -> None:
    done = await provision(nats_as("provision", fresh.nats_url), fresh.admin_dsn, fresh.passwords)
    assert "stream INGEST: as it should be" in done
    assert "schemas: nothing new" in done


async def test_a_new_file_runs_once_as_the_members_own_role_and_is_recorded(fresh: Fresh) -> None:
    assert "schema auth: 900_notes.sql applied" in await provision_database(
        fresh.admin_dsn, fresh.passwords, with_installed(NOTES)
    )
    assert "schemas: nothing new" in await provision_database(fresh.admin_dsn, fresh.passwords, with_installed(NOTES))
    assert await one(fresh.dsn("auth"), "SELECT count(*) FROM auth.notes") == 1
    owner = "SELECT tableowner FROM pg_tables WHERE schemaname = 'auth' AND tablename = 'notes'"
    assert await one(fresh.admin_dsn, owner) == "wepeople_auth"


async def test_a_file_changed_after_it_was_applied_is_refused(fresh: Fresh) -> None:
    await provision_database(fresh.admin_dsn, fresh.passwords, with_installed(NOTES))
    changed = SchemaFile(NOTES.schema, NOTES.name, NOTES.text + " -- harmless?")
    with pytest.raises(ProvisionError, match=r"auth/900_notes\.sql"):
        await provision_database(fresh.admin_dsn, fresh.passwords, with_installed(changed))


async def test_a_file_that_fails_leaves_nothing_behind(fresh: Fresh) -> None:
    broken = SchemaFile("auth", "901_broken.sql", "CREATE TABLE auth.half (a int); SELECT 1 / 0")
    with pytest.raises(ProvisionError, match=r"auth/901_broken\.sql"):
        await provision_database(fresh.admin_dsn, fresh.passwords, with_installed(broken))
    assert await one(fresh.admin_dsn, "SELECT to_regclass('auth.half')") is None


async def test_two_provisioners_at_once_apply_each_file_once(fresh: Fresh) -> None:
    both = [provision_database(fresh.admin_dsn, fresh.passwords, with_installed(NOTES)) for _ in range(2)]
    done = await asyncio.gather(*both)
    assert sum("schema auth: 900_notes.sql applied" in lines for lines in done) == 1


async def test_a_role_without_a_password_is_refused_by_its_name(fresh: Fresh) -> None:
    without = {role: password for role, password in fresh.passwords.items() if role != "wepeople_quota"}
    with pytest.raises(ProvisionError, match="wepeople_quota"):
        await provision_database(fresh.admin_dsn, without, [])


async def test_a_service_cannot_touch_another_services_schema(fresh: Fresh) -> None:
    await provision_database(fresh.admin_dsn, fresh.passwords, with_installed(NOTES))
    with pytest.raises(InsufficientPrivilege):
        await one(fresh.dsn("quota"), "SELECT count(*) FROM auth.notes")


async def test_analysts_leave_connections_for_the_services(fresh: Fresh) -> None:
    query = """SELECT rolconnlimit FROM pg_roles WHERE rolname = 'wepeople_analyst'"""
    async with await AsyncConnection.connect(fresh.admin_dsn) as admin:
        [limit] = await (await admin.execute(query)).fetchone() or []
        [all_of_them] = (
            await (
                await admin.execute("SELECT setting::int FROM pg_settings WHERE name = 'max_connections'")
            ).fetchone()
            or []
        )
    assert 0 < limit <= all_of_them / 2


async def test_wrong_stream_settings_are_corrected_and_no_message_is_lost(nats: Client) -> None:
    await nats.jetstream().publish("ingest.0.org_1.app_1.events", b"kept")
    await nats.jetstream().update_stream(StreamConfig(name="INGEST", subjects=["ingest.>"], max_msg_size=1000))
    done = await provision_streams(nats)
    assert 'stream INGEST: subjects ["ingest.>"] -> ["ingest.*.*.*.*"]' in done
    info = await nats.jetstream().stream_info("INGEST")
    assert (info.state.messages, info.config.duplicate_window, info.config.max_msg_size) == (1, 600.0, 12 * 1024 * 1024)


async def test_a_setting_that_cannot_change_is_named_and_the_stream_stays(nats: Client) -> None:
    await nats.jetstream().delete_stream("INGEST")
    await nats.jetstream().add_stream(StreamConfig(name="INGEST", subjects=["ingest.*.*.*.*"], deny_purge=True))
    await nats.jetstream().publish("ingest.0.org_1.app_1.events", b"kept")
    with pytest.raises(ProvisionError, match="deny_purge true -> false"):
        await provision_streams(nats)
    assert (await nats.jetstream().stream_info("INGEST")).state.messages == 1


@pytest.fixture
async def reader_dsn(fresh: Fresh) -> AsyncIterator[str]:
    """A reader of org_1."""
    role = f"test_reader_{secrets.token_hex(4)}"
    await create_reader(fresh.admin_dsn, fresh.dsn("projector"), role, "secret", "org_1")
    yield login_dsn(fresh.admin_dsn, role, "secret")
    async with await AsyncConnection.connect(fresh.admin_dsn) as connection:
        await connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


async def test_a_reader_can_write_nothing_and_sees_no_service_schema(reader_dsn: str) -> None:
    with pytest.raises(ReadOnlySqlTransaction):
        await one(reader_dsn, "CREATE TEMPORARY TABLE t (a int)")
    for query in (
        "SELECT set_config('default_transaction_read_only', 'off', false); CREATE TEMPORARY TABLE t (a int)",
        "SET default_transaction_read_only = off; COMMIT; SELECT lo_create(0)",
        "SELECT count(*) FROM auth.keys",
        "SELECT count(*) FROM provision.applied_files",
    ):
        with pytest.raises((InsufficientPrivilege, ReadOnlySqlTransaction)):
            await one(reader_dsn, query)


async def test_a_reader_stops_nobody_by_locks_or_connections(reader_dsn: str) -> None:
    for query in ("SELECT pg_advisory_lock(1)", "SELECT pg_try_advisory_xact_lock_shared(1, 2)"):
        with pytest.raises(InsufficientPrivilege):
            await one(reader_dsn, query)
    async with AsyncExitStack() as opened:
        for _ in range(5):
            await opened.enter_async_context(await AsyncConnection.connect(reader_dsn))
        with pytest.raises(OperationalError, match="too many connections for role"):
            await AsyncConnection.connect(reader_dsn)


def test_the_command_says_what_it_did(fresh: Fresh, tmp_path: Path) -> None:
    passwords = tmp_path / "passwords.json"
    passwords.write_text(json.dumps(fresh.passwords))
    result = subprocess.run(
        [Path(sys.executable).with_name("wepeople"), "provision"],
        env=os.environ
        | {
            **nats_environment("provision", fresh.nats_url),
            "WEPEOPLE_ADMIN_DSN": fresh.admin_dsn,
            "WEPEOPLE_ROLE_PASSWORDS_FILE": str(passwords),
        },
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert result.returncode == 0, result.stderr
    assert "stream INGEST: as it should be" in result.stdout
