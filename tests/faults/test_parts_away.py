"""What goes on, and what is refused, while one part is away; and that all of it comes back by itself."""

import asyncio
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest

from tests.support.breakable import Breakable
from tests.support.client import Answer, Client, client, refusal
from tests.support.operators import EVENT_TYPE
from tests.support.read_models import eventually, query, rows_of_request
from wepeople_contracts.ids import new_key
from wepeople_embedded.child import Child

EVENT = {"eventType": EVENT_TYPE, "category": "code", "actor": {"externalId": "eng-17"}}


@asynccontextmanager
async def known_client(breakable: Breakable, requests_per_second: int | None = None) -> AsyncIterator[Client]:
    """A client whose key the gateway has seen, for it to remember."""
    caller = await breakable.operator.caller(requests_per_second=requests_per_second)
    async with client(breakable.system.gateway_url, caller.token) as api:
        assert (await api.ping()).status == 200
        yield api


@contextmanager
def frozen(child: Child) -> Iterator[None]:
    """A process that holds its connections and answers nobody."""
    child.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        child.signal(signal.SIGCONT)


@pytest.fixture
def same_services(breakable: Breakable) -> Iterator[None]:
    """No service may need a restart."""
    before = {name: service.child.pid for name, service in breakable.system.services.items()}
    yield
    alive = {name: service.child.pid for name, service in breakable.system.services.items() if service.child.is_running}
    assert alive == before


def unavailable(answer: Answer) -> dict[str, str]:
    error = refusal(answer, 503, "unavailable")
    assert int(answer.headers["Retry-After"]) >= 1
    return error


async def works_again(api: Client, idempotency_key: str | None = None) -> Answer:
    return await eventually(
        lambda: api.events([EVENT], idempotency_key), lambda answer: answer.status == 202, what="202 again"
    )


async def stored_once(breakable: Breakable, answer: Answer) -> None:
    """The event of a 202 is in the timeline, and its request once."""
    await rows_of_request(breakable.system.operator_dsn, answer.json()["requestId"], 1)


@pytest.mark.usefixtures("same_services")
async def test_while_the_stream_is_frozen_the_outcome_is_unknown_and_a_retry_of_the_key_is_exact(
    breakable: Breakable,
) -> None:
    async with known_client(breakable) as api:
        # A gateway that has not published yet asks where to, and does not send anything without an answer.
        await stored_once(breakable, await api.events([EVENT]))
        with frozen(breakable.system.nats.child):
            error = unavailable(await api.events([EVENT], "frozen"))
            assert error["outcome"] == "unknown"
        answer = await works_again(api, "frozen")
        again = await api.events([EVENT], "frozen")
        assert (again.status, again.body) == (202, answer.body)
        org_id = (await api.ping()).json()["organizationId"]
        await stored_once(breakable, await api.events([EVENT]))
    count = "SELECT count(*) AS count FROM live.timeline WHERE org_id = %(org)s"
    assert await query(breakable.system.operator_dsn, count, {"org": org_id}) == [{"count": 3}]


@pytest.mark.usefixtures("same_services")
async def test_while_the_stream_is_down_requests_are_503_and_afterwards_nothing_needs_a_restart(
    breakable: Breakable,
) -> None:
    async with known_client(breakable) as api:
        await breakable.system.nats.kill()
        for answer in await asyncio.gather(*(api.events([EVENT]) for _ in range(3))):
            unavailable(answer)
        await breakable.system.nats.start()
        await stored_once(breakable, await works_again(api))


@pytest.mark.usefixtures("same_services")
async def test_while_postgres_is_down_ingest_goes_on_and_the_read_models_catch_up(breakable: Breakable) -> None:
    async with known_client(breakable) as api:
        await breakable.system.postgres.kill()
        answers = [await api.events([EVENT]) for _ in range(20)]
        assert [answer.status for answer in answers] == [202] * 20
        await breakable.system.postgres.start()
        for answer in answers:
            await stored_once(breakable, answer)


async def test_while_auth_is_down_known_keys_serve_and_unknown_ones_are_503(breakable: Breakable) -> None:
    async with known_client(breakable) as api:
        await breakable.system.services["auth"].kill()
        assert (await api.events([EVENT])).status == 202
        async with client(breakable.system.gateway_url, new_key()) as stranger:
            unavailable(await stranger.ping())
            breakable.system.services["auth"].start()
            await eventually(stranger.ping, lambda answer: answer.status == 401, what="401 again")


async def test_while_quota_is_down_requests_pass_within_the_gateways_own_window(breakable: Breakable) -> None:
    async with known_client(breakable, requests_per_second=5) as api:
        await breakable.system.services["quota"].kill()
        count: Counter[int] = Counter()
        began = time.monotonic()
        while time.monotonic() - began < 2.5:
            count[(await api.events([EVENT])).status] += 1
        seconds = time.monotonic() - began
    assert count.keys() == {202, 429}
    assert count[202] <= 5 * (int(seconds) + 1)


async def test_while_the_projector_is_down_requests_are_accepted_and_shown_afterwards(breakable: Breakable) -> None:
    async with known_client(breakable) as api:
        await breakable.system.services["projector"].kill()
        answers = [await api.events([EVENT]) for _ in range(5)]
        assert [answer.status for answer in answers] == [202] * 5
        breakable.system.services["projector"].start()
        for answer in answers:
            await stored_once(breakable, answer)


async def test_a_service_that_starts_before_its_servers_waits_for_them(breakable: Breakable) -> None:
    system = breakable.system
    async with known_client(breakable) as api:
        await system.postgres.kill()
        await system.nats.kill()
        for name in ("auth", "quota", "projector"):
            await system.services[name].kill()
            system.services[name].start()
        await system.nats.start()
        await system.postgres.start()
        for name in ("auth", "quota", "projector"):
            await system.services[name].wait_ready(breakable.operator.connection)
        await stored_once(breakable, await works_again(api))
