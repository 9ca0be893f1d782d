"""A database of the release before row security: what is in it stays, and the old code works until it is gone."""

import asyncio
from typing import Any

import pytest
from psycopg import AsyncConnection, errors

from tests.integration.test_projection_schema import ABOUT, DEFINITION
from tests.support.fresh import Fresh
from tests.support.org_tables import faults, relations
from wepeople_chassis.postgres import act_for_org
from wepeople_chassis.tasks import end
from wepeople_contracts.subjects import partition_of
from wepeople_projections.commands.running import secure_in_turns
from wepeople_projections.postgres.ddl import create_schema
from wepeople_projections.postgres.row_security import secure_rows
from wepeople_provision.migrations import installed_files
from wepeople_provision.provision import provision_database

FIRST = ("001_auth.sql",)
OLD_INSERT = "INSERT INTO auth.keys (key_id, app_id, name, hash) VALUES (%s, 'app_1', '', 'hash')"
AS_IT_WAS = """
DROP TABLE things_v1.commits;
CREATE TABLE things_v1.commits (partition smallint NOT NULL, through bigint NOT NULL,
                                committed_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (partition, through));
ALTER TABLE things_v1.thing NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY;
ALTER TABLE things_v1."Door of thing" DETACH PARTITION things_v1.thing;
DROP TABLE things_v1."Door of thing";
DROP POLICY owner_folds_all_orgs ON things_v1.thing;
"""


async def test_auths_old_code_writes_keys_until_it_is_gone_and_each_key_gets_its_org(fresh: Fresh) -> None:
    files = [file for file in installed_files() if file.schema == "auth"]
    async with await AsyncConnection.connect(fresh.admin_dsn, autocommit=True) as admin:
        await admin.execute("DROP SCHEMA auth CASCADE; DELETE FROM provision.applied_files WHERE schema = 'auth'")
        await provision_database(fresh.admin_dsn, fresh.passwords, [file for file in files if file.name in FIRST])
        await admin.execute(
            "INSERT INTO auth.orgs (org_id, name, plan, salt) VALUES ('org_1', '', 'free', %s)", [b"s" * 32]
        )
        await admin.execute("INSERT INTO auth.apps (app_id, org_id, slug) VALUES ('app_1', 'org_1', 'ci')")
        await admin.execute(OLD_INSERT, ["of before"])

        await provision_database(fresh.admin_dsn, fresh.passwords, files)
        async with await AsyncConnection.connect(fresh.dsn("auth"), autocommit=True) as old_code:
            await old_code.execute(OLD_INSERT, ["of meanwhile"])
            assert len(await (await old_code.execute("SELECT FROM auth.keys")).fetchall()) == 2

        await provision_database(fresh.admin_dsn, fresh.passwords, files, after_rollout=True)
        async with await AsyncConnection.connect(fresh.dsn("auth")) as auth:
            assert await (await auth.execute("SELECT key_id FROM auth.keys")).fetchall() == []
            await act_for_org(auth, "org_1")
            found = await (await auth.execute("SELECT key_id FROM auth.keys ORDER BY 1")).fetchall()
            assert found == [("of before",), ("of meanwhile",)]
        with pytest.raises(errors.NotNullViolation):
            await admin.execute(OLD_INSERT, ["of afterwards"])


async def test_a_projections_schema_is_secured_when_it_is_next_begun_and_its_orgs_keep_a_moment(fresh: Fresh) -> None:
    async with (
        await AsyncConnection.connect(fresh.dsn("analyst"), autocommit=True) as analyst,
        await AsyncConnection.connect(fresh.admin_dsn, autocommit=True) as admin,
    ):
        await create_schema(analyst, DEFINITION, "things_v1", ABOUT)
        await analyst.execute(
            "INSERT INTO things_v1.orgs VALUES ('org_1', 'Org', 'salt', now()), ('org_2', '', 's', now())"
        )
        await analyst.execute("INSERT INTO things_v1.thing VALUES ('org_1', 'kept', 1)")
        await analyst.execute(AS_IT_WAS.encode())
        journal = "INSERT INTO things_v1.commits VALUES (%s, 4, '2026-01-01'), (%s, 7, '2026-02-01')"
        await analyst.execute(journal, [partition_of("org_1")] * 2)
        assert "things_v1.thing: row security is not forced" in faults(await relations(admin))

        for _ in range(2):
            async with analyst.transaction():
                await secure_rows(analyst, "things_v1")
            assert faults(await relations(admin)) == []
        query = "SELECT org_id, partition, through, committed_at::date::text FROM things_v1.commits"
        journal_now: list[Any] = await (await analyst.execute(query)).fetchall()
        assert journal_now == [("org_1", partition_of("org_1"), 7, "2026-02-01")]
        assert await (await analyst.execute("SELECT name FROM things_v1.thing")).fetchall() == [("kept",)]


async def test_who_reads_is_not_held_up_behind_a_projection_that_waits_to_secure_its_tables(fresh: Fresh) -> None:
    async with (
        await AsyncConnection.connect(fresh.dsn("analyst"), autocommit=True) as analyst,
        await AsyncConnection.connect(fresh.admin_dsn, autocommit=True) as admin,
        await AsyncConnection.connect(fresh.admin_dsn, autocommit=True) as reader,
    ):
        await create_schema(analyst, DEFINITION, "things_v1", ABOUT)
        await analyst.execute(AS_IT_WAS.encode())
        async with admin.transaction():
            await admin.execute("SELECT FROM things_v1.thing")
            securing = asyncio.create_task(secure_in_turns(analyst, "things_v1", turn_seconds=0.2))
            try:
                for _ in range(20):
                    async with asyncio.timeout(5):
                        await reader.execute("SELECT FROM things_v1.thing")
                    await asyncio.sleep(0.05)
                assert not securing.done()
            except BaseException:
                await end([securing])
                raise
        await asyncio.wait_for(securing, 10)
        assert faults(await relations(admin)) == []
