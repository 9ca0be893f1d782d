"""A standby of Postgres beside a deployment that was there before: it is read at, takes over, and gives back."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest
from psycopg import OperationalError, conninfo

from tests.support.client import client
from tests.support.compose import COMPOSE_FILE, Compose, docker
from tests.support.deployment import FOLDER, Deployment, make_secrets, without_tls
from tests.support.operators import EVENT_TYPE
from tests.support.read_models import eventually, query, rows_of_request
from tests.support.system import RunningSystem

EVENT = {"eventType": EVENT_TYPE, "category": "code", "actor": {"externalId": "eng-17"}}
OVERLAY = COMPOSE_FILE.with_name("compose.replica.yaml")
PROMOTE = ("sh", "-c", 'pg_ctl promote -D "$PGDATA"')


@dataclass(frozen=True, slots=True)
class Pair:
    """The deployment with both servers, and how each is reached from here."""

    compose: Compose
    system: RunningSystem

    def at(self, server: str, dsn: str) -> str:
        """A login's address at one of the two."""
        port = {"postgres": "WP_TEST_POSTGRES_PORT", "postgres-replica": "WP_TEST_REPLICA_PORT"}[server]
        return conninfo.make_conninfo(
            dsn, host="localhost", port=self.compose.environment[port], target_session_attrs="any"
        )

    async def send(self) -> str:
        """One event that is accepted; the request's id."""
        async with client(self.system.gateway_url, self.system.api_key) as api:
            answer = await eventually(lambda: api.events([EVENT]), lambda sent: sent.status == 202, what="a 202")
        request_id: str = answer.json()["requestId"]
        return request_id

    async def is_standby(self, server: str) -> bool | None:
        """None while it does not answer."""
        try:
            found = await query(self.at(server, self.system.admin_dsn), "SELECT pg_is_in_recovery() AS standby")
        except OperationalError:
            return None
        return bool(found[0]["standby"])

    async def forget(self, server: str) -> None:
        """Remove a server and all that it has stored."""
        await self.compose("rm", "--stop", "--force", server)
        await docker("volume", "rm", f"{self.compose.project}_{server}")


@pytest.fixture(scope="module")
async def pair(deployment: Deployment, system: RunningSystem) -> AsyncIterator[Pair]:
    await make_secrets(deployment.secrets, "--replica")
    plain = () if deployment.postgres_has_tls else (FOLDER / "compose.replica-without-tls.yaml",)
    if not deployment.postgres_has_tls:
        without_tls(deployment.secrets)
    files = (*deployment.compose.files, OVERLAY, FOLDER / "compose.replica.tests.yaml", *plain)
    both = Pair(replace(deployment.compose, files=files), system)
    await both.compose("up", "--wait", "--force-recreate")
    yield both
    await both.forget("postgres-replica")
    await deployment.compose("up", "--wait", "--force-recreate")


async def test_the_standby_is_read_at_and_each_login_sees_there_what_it_may(pair: Pair) -> None:
    system = pair.system
    request_id = await pair.send()
    assert await pair.is_standby("postgres-replica")
    for dsn in (system.operator_dsn, system.demo.postgres_dsn):
        await rows_of_request(pair.at("postgres-replica", dsn), request_id, 1)
    orgs = await query(
        pair.at("postgres-replica", system.demo.postgres_dsn), "SELECT DISTINCT org_id FROM live.timeline"
    )
    assert orgs == [{"org_id": system.demo.organization_id}]
    status = json.loads(await pair.compose("run", "--rm", "operator", "status", "--json"))
    assert [line["projection"] for line in status["projections"]] == ["live_v1", "live_v1 at postgres-replica"]
    shown = await pair.compose("run", "--rm", "operator", "timeline", "eng-17", "--json")
    assert request_id in shown


async def test_the_standby_takes_over_the_old_primary_stays_out_until_it_follows_and_takes_back(pair: Pair) -> None:
    system = pair.system
    await pair.compose("stop", "postgres")
    while_away = await pair.send()
    await pair.compose("exec", "-T", "postgres-replica", *PROMOTE)
    at_the_second = pair.at("postgres-replica", system.operator_dsn)
    await rows_of_request(at_the_second, while_away, 1, within_seconds=40)

    await pair.compose("start", "postgres")
    await eventually(
        lambda: pair.compose.logs("postgres"),
        lambda said: "postgres-replica takes the writes now" in said,
        what="the old primary refuses to start",
    )
    assert await pair.is_standby("postgres") is None
    await pair.forget("postgres")
    await pair.compose("up", "--wait", "--no-deps", "postgres")
    assert await pair.is_standby("postgres")
    after = await pair.send()
    await rows_of_request(pair.at("postgres", system.operator_dsn), after, 1)

    await pair.compose("stop", "postgres-replica")
    await pair.compose("exec", "-T", "postgres", *PROMOTE)
    last = await pair.send()
    await rows_of_request(pair.at("postgres", system.operator_dsn), last, 1, within_seconds=40)
    await asyncio.gather(*(pair.compose.wait_healthy(part) for part in ("gateway", "auth", "quota", "projector")))
