"""Limits of time and memory, seen on a second gateway of the same system whose limits are near."""

import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import aiohttp
import pytest

from tests.support.client import client, refusal
from tests.support.nats_users import nats_environment
from tests.support.operators import EVENT_TYPE, Caller
from tests.support.read_models import eventually
from tests.support.system import RunningSystem
from tests.support.wire import request_bytes, wire
from wepeople_embedded.ports import HOST, free_port
from wepeople_embedded.services import ServiceProcess

EVENT = {"eventType": EVENT_TYPE, "category": "code", "actor": {"externalId": "eng-17"}}
BODY = json.dumps({"events": [EVENT]}).encode()
MEBIBYTE = 1024 * 1024


@pytest.fixture(scope="module")
async def near_limits(
    system: RunningSystem, caller: Caller, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[str]:
    """The URL of a gateway that waits 1 s for a body and holds 9 MiB of them."""
    port = free_port()
    settings = {
        **nats_environment("gateway", system.nats_url),
        "WEPEOPLE_HTTP_PORT": str(port),
        "WEPEOPLE_BODY_SECONDS": "1",
        "WEPEOPLE_IN_FLIGHT_BYTES": str(9 * MEBIBYTE),
    }
    gateway = ServiceProcess("gateway", settings, tmp_path_factory.mktemp("near") / "gateway.log")
    gateway.start()
    url = f"http://{HOST}:{port}"
    try:
        async with client(url, caller.token) as api:

            async def answers() -> bool:
                try:
                    return (await api.ping()).status == 200
                except aiohttp.ClientError:
                    return False

            await eventually(answers, bool, within_seconds=30, what="the second gateway")
        yield url
    finally:
        await gateway.stop()


async def test_a_body_that_does_not_end_in_time_is_400_and_its_connection_is_closed(
    near_limits: str, caller: Caller
) -> None:
    async with wire(near_limits) as slow:
        began = time.monotonic()
        await slow.send(request_bytes("POST", "/events", caller.token, BODY)[:-5])
        refusal(await slow.answer(), 400, "invalid_body")
        assert time.monotonic() - began >= 0.9
        assert await slow.closed()
    async with client(near_limits, caller.token) as api:
        assert (await api.events([EVENT])).status == 202


async def test_more_bodies_at_once_than_fit_into_memory_are_503_and_room_is_made_again(
    near_limits: str, caller: Caller
) -> None:
    part = b" " * (4 * MEBIBYTE)
    async with AsyncExitStack() as stack:
        held = [await stack.enter_async_context(wire(near_limits)) for _ in range(3)]
        for connection in held:
            head = request_bytes("POST", "/events", caller.token, Content_Length=str(8 * MEBIBYTE))
            await connection.send(head + part)
        answers = [await connection.answer() for connection in held]
    full = [answer for answer in answers if answer.status == 503]
    assert full, [answer.status for answer in answers]
    for answer in full:
        refusal(answer, 503, "unavailable")
        assert answer.headers["Retry-After"] == "1"
    async with client(near_limits, caller.token) as api:
        for _ in range(3):
            answer = await api.post("/events", b" " * (8 * MEBIBYTE) + BODY)
            assert answer.status == 202, answer
