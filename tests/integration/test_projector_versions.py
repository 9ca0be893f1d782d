"""A projector makes its version's tables, and speaks for the read models only while readers see its version."""

import asyncio
from pathlib import Path

from nats.errors import NoRespondersError
from psycopg import AsyncConnection

from tests.support.fresh import Fresh
from tests.support.projecting import Projecting, projector_process, running_projector
from tests.support.read_models import eventually, query
from tests.support.stored import envelope, founded, raw
from wepeople_chassis.broker import NatsAddress, connect
from wepeople_contracts.ids import new_id
from wepeople_contracts.projection import Projected, RequestQuery
from wepeople_contracts.subjects import PROJECTED_ALL, REQUEST_STATUS, partition_of

ROW = raw({"eventType": "x", "category": "code", "actor": {"externalId": "e"}})


async def execute(fresh: Fresh, statement: str) -> None:
    async with await AsyncConnection.connect(fresh.dsn("projector")) as connection:
        await connection.execute(statement.encode())


async def test_of_several_that_start_at_once_on_a_new_database_one_makes_the_tables(
    fresh: Fresh, tmp_path: Path
) -> None:
    processes = [projector_process(fresh.nats_url, fresh.dsn("projector"), tmp_path, f"p{n}") for n in range(3)]
    connection = await connect(NatsAddress(fresh.nats_url), "tests")
    try:
        for process in processes:
            process.start()
        for process in processes:
            await eventually(lambda p=process: _log(p.child.log_path), lambda log: '"event": "ready"' in log)  # type: ignore[misc]
        logs = [process.child.log_path.read_text() for process in processes]
        assert sum('"event": "schema_created"' in log for log in logs) == 1
        assert await query(fresh.dsn("operator"), "SELECT name, version FROM live.about") == [
            {"name": "live", "version": 1}
        ]
    finally:
        await asyncio.gather(*(process.kill() for process in processes))
        await connection.close()


async def test_while_another_version_serves_it_goes_on_in_silence(fresh: Fresh, tmp_path: Path) -> None:
    org = new_id("org")
    async with running_projector(fresh.nats_url, fresh.dsn("projector"), fresh.admin_dsn, tmp_path) as projecting:
        await projecting.stored_and_applied(founded(org))
        await execute(fresh, "UPDATE live_v1.about SET serving_since = NULL")
        await eventually(lambda: answers(projecting, org), lambda answered: not answered)
        heard = await projecting.connection.subscribe(PROJECTED_ALL)
        await projecting.stored_and_applied(envelope(org, [ROW]))
        assert heard.pending_msgs == 0
        await execute(fresh, "UPDATE live_v1.about SET serving_since = now()")
        await eventually(lambda: answers(projecting, org), bool)
        sequence = await projecting.store(envelope(org, [ROW]))
        async with asyncio.timeout(20):
            said = Projected.model_validate_json((await heard.next_msg(timeout=20)).data)
            while (said.partition, said.sequence) != (partition_of(org), sequence):
                said = Projected.model_validate_json((await heard.next_msg(timeout=20)).data)


async def answers(projecting: Projecting, org: str) -> bool:
    question = RequestQuery(org_id=org, app_id="app_1", request_id="req").model_dump_json().encode()
    try:
        await projecting.connection.request(REQUEST_STATUS, question, timeout=8)
    except NoRespondersError:
        return False
    return True


async def test_tables_of_other_code_are_left_alone(fresh: Fresh, tmp_path: Path) -> None:
    async with running_projector(fresh.nats_url, fresh.dsn("projector"), fresh.admin_dsn, tmp_path) as projecting:
        await projecting.process.stop()
        await execute(fresh, "UPDATE live_v1.about SET tables_sha256 = 'another'")
        projecting.process.start()
        assert await projecting.process.child.wait(timeout_seconds=20) == 1
        assert "the tables of live_v1 are not those of this code" in projecting.process.child.log_tail()[-1]


async def test_a_release_of_other_code_brings_its_views_and_what_was_proved_is_forgotten(
    fresh: Fresh, tmp_path: Path
) -> None:
    async with running_projector(fresh.nats_url, fresh.dsn("projector"), fresh.admin_dsn, tmp_path) as projecting:
        await projecting.process.stop()
        await execute(fresh, "UPDATE live_v1.about SET code_sha256 = 'older'; DROP VIEW live.orgs")
        await execute(fresh, "INSERT INTO live_v1.verified VALUES (0, 'timeline', 1, 0, '')")
        projecting.process.start()
        await projecting.process.wait_ready(projecting.connection)
        assert await query(fresh.dsn("operator"), "SELECT count(*) FROM live.orgs") == [{"count": 0}]
        assert await query(fresh.dsn("operator"), "SELECT count(*) FROM live_v1.verified") == [{"count": 0}]


async def test_without_a_provisioned_database_it_says_so_and_ends(fresh: Fresh, tmp_path: Path) -> None:
    async with await AsyncConnection.connect(fresh.admin_dsn) as admin:
        await admin.execute("DROP SCHEMA live CASCADE")
    process = projector_process(fresh.nats_url, fresh.dsn("projector"), tmp_path)
    process.start()
    assert await process.child.wait(timeout_seconds=20) == 1
    assert process.child.log_tail()[-1].startswith("The projector cannot go on: ")


async def _log(path: Path) -> str:
    return path.read_text()
