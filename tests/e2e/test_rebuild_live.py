"""The read models themselves, rebuilt on a running system: what a client was told to be visible is so throughout."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from tests.support.client import Client, client
from tests.support.read_models import query
from tests.support.shell import wepeople as run_wepeople
from tests.support.system import RunningSystem
from wepeople_chassis.tasks import end

EVENT = {"eventType": "deploy.shipped", "category": "code", "actor": {"externalId": "eng-17"}}


@pytest.fixture
async def demo(system: RunningSystem) -> AsyncIterator[Client]:
    async with client(system.gateway_url, system.api_key) as caller:
        yield caller


async def test_live_is_rebuilt_and_put_in_place_while_it_serves(system: RunningSystem, demo: Client) -> None:
    operator = json.loads((system.state_dir / "operator.json").read_text())
    dsn = {"WEPEOPLE_PROJECTOR_DSN": operator["projector_dsn"]}
    made, of_it = "SELECT created_at FROM live.about", " WHERE request_id = %(id)s"
    [before] = await query(system.operator_dsn, made)
    sent: list[str] = []

    async def send() -> None:
        while True:
            body = json.dumps({"events": [EVENT, EVENT]}).encode()
            answer = await demo.post("/events?wait=projected", body)
            assert answer.status == 202, answer
            said = answer.json()["requestId"]
            if answer.headers["Projected"] == "true":
                assert len(await query(system.operator_dsn, "SELECT FROM live.timeline" + of_it, {"id": said})) == 2
                sent.append(said)

    sending = asyncio.create_task(send())
    try:
        rebuilt = await run_wepeople(system.nats_url, system.operator_dsn, "projection", "rebuild", "live", **dsn)
        assert rebuilt.code == 0, rebuilt.stderr
        there = len(sent)
        async with asyncio.timeout(20):
            while len(sent) < there + 5:
                await asyncio.sleep(0.05)
                assert not sending.done(), sending.exception()
    finally:
        await end([sending])

    [after] = await query(system.operator_dsn, made)
    assert after["created_at"] > before["created_at"]
    assert (await run_wepeople(system.nats_url, system.operator_dsn, "prove", **dsn)).code == 0
