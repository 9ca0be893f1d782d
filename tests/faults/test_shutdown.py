"""SIGTERM to the gateway: what it has begun is finished and answered, and nothing new is begun."""

import asyncio
import json
import time
from collections.abc import Iterable

from tests.support.breakable import Breakable
from tests.support.operators import EVENT_TYPE
from tests.support.read_models import rows_of_request
from tests.support.wire import request_bytes, wire
from wepeople_embedded.child import Child
from wepeople_embedded.services import ServiceProcess

EVENT = {"eventType": EVENT_TYPE, "category": "code", "actor": {"externalId": "eng-17"}}
BODY = json.dumps({"events": [EVENT]}).encode()


async def refuses_connections(url: str, timeout_seconds: float = 3.0) -> bool:
    """Whether nobody listens there any more, within the time."""
    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline:
        try:
            async with wire(url):
                pass
        except ConnectionRefusedError:
            return True
        await asyncio.sleep(0.02)
    return False


def stopping(child: Child) -> asyncio.Task[int | None]:
    """SIGTERM now; the exit code later."""
    return asyncio.create_task(child.stop(timeout_seconds=10))


async def test_a_request_under_way_is_finished_and_new_connections_are_refused(breakable: Breakable) -> None:
    url, gateway = breakable.system.gateway_url, breakable.system.services["gateway"].child
    caller = await breakable.operator.caller()
    whole = request_bytes("POST", "/events", caller.token, BODY)
    async with wire(url) as slow:
        await slow.send(request_bytes("GET", "/ping", caller.token))
        assert (await slow.answer()).status == 200
        await slow.send(whole[:-20])
        await asyncio.sleep(0.1)  # long enough for the head to be read
        stop = stopping(gateway)
        assert await refuses_connections(url)
        await slow.send(whole[-20:])
        answer = await slow.answer()
        assert answer.status == 202
        assert await slow.closed()
    assert await stop == 0
    await rows_of_request(breakable.system.operator_dsn, answer.json()["requestId"], 1)


async def test_who_sends_one_request_after_another_is_told_with_an_answer_that_it_is_the_last(
    breakable: Breakable,
) -> None:
    gateway = breakable.system.services["gateway"].child
    caller = await breakable.operator.caller()
    async with wire(breakable.system.gateway_url) as busy:
        stop, is_last = None, False
        while not is_last:
            await asyncio.sleep(0.02)  # the client's pace
            await busy.send(request_bytes("GET", "/ping", caller.token))
            answer = await busy.answer()
            assert answer.status == 200
            stop, is_last = stop or stopping(gateway), answer.headers.get("Connection") == "close"
        assert await busy.closed()
    assert stop is not None
    assert await stop == 0


async def test_idle_connections_do_not_hold_it_up(breakable: Breakable) -> None:
    gateway = breakable.system.services["gateway"].child
    caller = await breakable.operator.caller()
    async with wire(breakable.system.gateway_url) as idle, wire(breakable.system.gateway_url):
        await idle.send(request_bytes("GET", "/ping", caller.token))
        assert (await idle.answer()).status == 200
        began = time.monotonic()
        assert await stopping(gateway) == 0
        assert time.monotonic() - began < 5
        assert await idle.closed()


async def stop_all(services: Iterable[ServiceProcess]) -> dict[str, int | None]:
    """SIGTERM to all at once; their exit codes, within the five seconds that each has."""
    named = list(services)
    codes = await asyncio.gather(*(service.stop(timeout_seconds=5) for service in named))
    return {service.name: code for service, code in zip(named, codes, strict=True)}


async def test_services_end_with_code_0(breakable: Breakable) -> None:
    services = breakable.system.services
    assert await stop_all(services.values()) == dict.fromkeys(services, 0)


async def test_services_end_with_code_0_while_the_servers_are_down(breakable: Breakable) -> None:
    await breakable.system.nats.kill()
    await breakable.system.postgres.kill()
    services = breakable.system.services
    assert await stop_all(services.values()) == dict.fromkeys(services, 0)
