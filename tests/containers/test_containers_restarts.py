"""Parts that die are started again by the engine, and what was promised is there; so it is after `down` and `up`."""

import json

import pytest

from tests.support.client import Client, client
from tests.support.compose import SERVERS, SERVICES
from tests.support.deployment import Deployment
from tests.support.read_models import eventually, query, rows_of_request
from tests.support.system import RunningSystem


async def accepted(api: Client, number: int, key: str | None = None) -> str:
    """Send one event until it is accepted; its request's id."""
    event = {"eventType": "deploy.shipped", "category": "code", "actor": {"externalId": f"eng-{number}"}}
    answer = await eventually(
        lambda: api.events([event], key), lambda answer: answer.status == 202, within_seconds=30, what="a 202"
    )
    request_id: str = answer.json()["requestId"]
    return request_id


@pytest.mark.parametrize("part", [*SERVICES, *SERVERS])
async def test_a_part_that_is_killed_comes_back_by_itself(
    deployment: Deployment, system: RunningSystem, part: str
) -> None:
    async with client(system.gateway_url, system.api_key) as api:
        before = await accepted(api, 1)
    await deployment.compose.kill(part)
    await deployment.compose.wait_healthy(part, *SERVICES)
    async with client(system.gateway_url, system.api_key) as api:
        after = await accepted(api, 2)
    for request_id in (before, after):
        await rows_of_request(system.operator_dsn, request_id, 1, within_seconds=30)


async def test_what_was_accepted_outlives_the_containers(deployment: Deployment, system: RunningSystem) -> None:
    async with client(system.gateway_url, system.api_key) as api:
        request_id = await accepted(api, 3, key="before-down")
    await rows_of_request(system.operator_dsn, request_id, 1)
    count = "SELECT count(*) AS events FROM live.timeline"
    before = await query(system.operator_dsn, count)

    await deployment.compose("down", "--timeout", "10")
    await deployment.compose("up", "--wait")

    assert await query(system.operator_dsn, count) == before
    async with client(system.gateway_url, system.api_key) as api:
        assert await accepted(api, 3, key="before-down") == request_id
        another = await accepted(api, 4)
    await rows_of_request(system.operator_dsn, another, 1)


async def test_nobody_died_for_want_of_memory(deployment: Deployment) -> None:
    for part in (*SERVICES, *SERVERS):
        state = (await deployment.compose.inspect(part))["State"]
        assert not state["OOMKilled"], json.dumps(state)
