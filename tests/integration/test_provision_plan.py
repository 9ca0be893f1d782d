"""`wepeople provision --plan`: everything that would change is said, and nothing changes."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from nats.js.api import StreamConfig
from psycopg import AsyncConnection

from tests.support.fresh import Fresh
from tests.support.nats_users import nats_environment
from tests.support.shell import Result, wepeople
from wepeople_chassis.broker import NatsAddress, connect
from wepeople_provision.provision import plan, provision
from wepeople_provision.roles import provision_roles

CATALOG = """
SELECT (SELECT string_agg(rolname || coalesce(rolpassword, '') || rolconnlimit, ',' ORDER BY rolname) FROM pg_authid
        WHERE rolname LIKE 'wepeople%'),
       (SELECT datacl::text FROM pg_database WHERE datname = current_database()),
       (SELECT string_agg(schema || file, ',' ORDER BY 1) FROM provision.applied_files)
"""


async def disturb(fresh: Fresh) -> None:
    """Take something of each part away."""
    async with await AsyncConnection.connect(fresh.admin_dsn, autocommit=True) as admin:
        database = admin.info.dbname
        await admin.execute(f"REVOKE TEMPORARY ON DATABASE {database} FROM wepeople_quota")
        await admin.execute(f"GRANT CONNECT ON DATABASE {database} TO PUBLIC")
        await admin.execute("GRANT EXECUTE ON FUNCTION lo_create(oid) TO PUBLIC")
        await admin.execute(
            "DELETE FROM provision.applied_files WHERE schema = 'quota' AND file = '005_partitions.sql'"
        )
        await admin.execute("DROP TABLE quota.partitions, quota.org_usage, quota.org_charged_ids")
    nats = await connect(NatsAddress(fresh.nats_url), "tests")
    await nats.jetstream().update_stream(StreamConfig(name="INGEST", subjects=["ingest.*.*.*.*"], max_msg_size=1000))
    await nats.jetstream().delete_stream("KV_quota-lease")
    await nats.close()


@pytest.fixture(autouse=True)
async def roles_as_they_were(fresh: Fresh) -> AsyncIterator[None]:
    """Roles are the whole server's: other tests log in with the passwords that were."""
    yield
    async with await AsyncConnection.connect(fresh.admin_dsn, autocommit=True) as admin:
        await provision_roles(admin, fresh.passwords)


async def state(fresh: Fresh) -> Any:
    async with await AsyncConnection.connect(fresh.admin_dsn) as admin:
        row = await (await admin.execute(CATALOG)).fetchone()
    nats = await connect(NatsAddress(fresh.nats_url), "tests")
    streams = await nats.jetstream().streams_info()
    await nats.close()
    return row, {info.config.name: info.config for info in streams}


async def command(fresh: Fresh, tmp_path: Any, *arguments: str, **environment: str) -> Result:
    passwords = tmp_path / "passwords.json"
    passwords.write_text(json.dumps(fresh.passwords | {"wepeople_auth": "another"}))
    admin = {"WEPEOPLE_ADMIN_DSN": fresh.admin_dsn, "WEPEOPLE_ROLE_PASSWORDS_FILE": str(passwords)}
    who = nats_environment("provision", fresh.nats_url) | admin
    return await wepeople(fresh.nats_url, "", "provision", *arguments, **who, **environment)


async def test_where_everything_is_as_it_should_be_the_plan_is_empty(fresh: Fresh) -> None:
    assert await plan(NatsAddress(fresh.nats_url), fresh.admin_dsn, fresh.passwords) == []


async def test_the_plan_names_what_differs_in_every_part_and_changes_none_of_it(fresh: Fresh, tmp_path: Any) -> None:
    await disturb(fresh)
    before = await state(fresh)
    printed = await command(fresh, tmp_path, "--plan", "--json", WEPEOPLE_STREAM_MAX_BYTES="2000000")
    changes = [(c["part"], c["name"], c["verb"], c["what"]) for c in printed.json["changes"]]
    database = fresh.admin_dsn.rpartition("/")[2]
    assert changes == [
        ("role", "wepeople_auth", "set", "password"),
        ("database", database, "set", "TEMPORARY granted to wepeople_quota"),
        ("database", database, "set", "CONNECT taken from PUBLIC"),
        ("database", database, "set", "FUNCTION lo_create(oid) taken from PUBLIC"),
        ("schema", "quota", "run", "005_partitions.sql"),
        ("stream", "INGEST", "set", 'discard "old" -> "new"'),
        ("stream", "INGEST", "set", "duplicate_window 120000000000 -> 600000000000"),
        ("stream", "INGEST", "set", "max_msg_size 1000 -> 12582912"),
        ("stream", "INGEST", "set", "max_bytes -1 -> 2000000"),
        ("stream", "INGEST", "set", 'consumer_limits {} -> {"inactive_threshold": 60000000000}'),
        ("stream", "KV_quota-lease", "create", ""),
    ]
    text = await command(fresh, tmp_path, "--plan")
    assert "schema quota: run 005_partitions.sql" in text.stdout.splitlines()
    assert await state(fresh) == before


async def test_what_was_planned_is_what_is_done_and_then_nothing_is_left(fresh: Fresh) -> None:
    await disturb(fresh)
    where = NatsAddress(fresh.nats_url), fresh.admin_dsn, fresh.passwords
    assert await plan(*where) != []
    done = await provision(*where)
    assert "schema quota: 005_partitions.sql applied" in done
    assert "stream KV_quota-lease: created" in done
    assert any("TEMPORARY granted to wepeople_quota" in line for line in done)
    assert await plan(*where) == []


async def test_a_password_that_the_role_has_already_is_not_set_again(fresh: Fresh) -> None:
    where = NatsAddress(fresh.nats_url), fresh.admin_dsn
    before = await state(fresh)
    assert "roles: as they should be" in await provision(*where, fresh.passwords)
    assert await state(fresh) == before
    changed = fresh.passwords | {"wepeople_operator": "another"}
    assert [str(change) for change in await plan(*where, changed)] == ["role wepeople_operator: set password"]
    assert "role wepeople_operator: password set" in await provision(*where, changed)
    assert await plan(*where, changed) == []
    await provision(*where, fresh.passwords)


async def test_a_plan_that_would_be_refused_says_why_and_fails(fresh: Fresh, tmp_path: Any) -> None:
    nats = await connect(NatsAddress(fresh.nats_url), "tests")
    await nats.jetstream().publish("ingest.0.org_1.app_1.events", b"x" * 1_100_000)
    await nats.close()
    before = await state(fresh)
    refused = await command(fresh, tmp_path, "--plan", WEPEOPLE_STREAM_MAX_BYTES="1048576")
    assert refused.code == 1
    assert "refused: The stream holds 1100" in refused.stdout
    assert "WEPEOPLE_STREAM_MAX_BYTES" in refused.stdout
    unplanned = await command(fresh, tmp_path, WEPEOPLE_STREAM_MAX_BYTES="1048576")
    assert unplanned.code == 1
    assert "Nothing was changed" in unplanned.stderr
    assert await state(fresh) == before


@pytest.mark.parametrize("arguments", [["--json"], ["--json", "--after-rollout"]])
async def test_json_without_a_plan_is_refused_before_anything_is_done(
    fresh: Fresh, tmp_path: Any, arguments: list[str]
) -> None:
    before = await state(fresh)
    assert (await command(fresh, tmp_path, *arguments)).code == 2
    assert await state(fresh) == before
