"""A read-only login of one org, in a system where two orgs send."""

import secrets

import pytest

from tests.support.client import client
from tests.support.operators import EVENT_TYPE, operators
from tests.support.read_models import query, rows_of_request
from tests.support.system import RunningSystem
from wepeople_provision.dsn import login_dsn
from wepeople_provision.readers import create_reader

VIEWS = ("live.workers", "live.timeline", "live.latest_snapshots", "live.reader_orgs")
EVENT = {"eventType": EVENT_TYPE, "category": "code", "actor": {"email": "alex@acme.com"}}
SNAPSHOT = b'{"snapshotType": "queue", "actor": {"email": "alex@acme.com"}, "metrics": {"active": 2}}'


async def send_as_another_org(system: RunningSystem) -> str:
    """The id of an org whose event and snapshot have reached the read models."""
    async with operators(system.nats_url) as operator:
        caller = await operator.caller()
    async with client(system.gateway_url, caller.token) as other:
        await other.post("/snapshots", SNAPSHOT)
        sent = await other.events([EVENT])
    await rows_of_request(system.operator_dsn, sent.json()["requestId"], 1)
    return caller.org_id


@pytest.mark.parametrize("view", VIEWS)
async def test_it_sees_its_own_org_alone(system: RunningSystem, view: str) -> None:
    async with client(system.gateway_url, system.api_key) as demo:
        await demo.post("/snapshots", SNAPSHOT)
        sent = await demo.events([EVENT])
    await rows_of_request(system.demo.postgres_dsn, sent.json()["requestId"], 1)
    other_org = await send_as_another_org(system)
    role = f"test_reader_{secrets.token_hex(4)}"
    await create_reader(system.admin_dsn, system.projector_dsn, role, "secret", other_org)

    statement = f"SELECT DISTINCT org_id FROM {view}"
    assert await query(login_dsn(system.admin_dsn, role, "secret"), statement) == [{"org_id": other_org}]
    assert await query(system.demo.postgres_dsn, statement) == [{"org_id": system.demo.organization_id}]
    assert len(await query(system.operator_dsn, statement)) >= 2
