"""A request whose connection breaks, or whose gateway dies, at each point of its way, is sent again to another gateway:
it is stored once, charged once, and answered with the same bytes.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import aiohttp
import pytest

from tests.support.client import refusal
from tests.support.exactness import Exactly, stored_messages
from tests.support.gateways import POST, PUBLISH, ProxiedGateway, proxied_gateway
from tests.support.operators import Operators, operators
from tests.support.proxy import Point, Proxy
from tests.support.read_models import eventually
from tests.support.requests import in_background
from tests.support.system import RunningSystem

BROKEN = (aiohttp.ClientError, ConnectionError)
PUBLISH_SECONDS = 3
"""More than one attempt of two seconds."""


@pytest.fixture(scope="module")
async def operator(system: RunningSystem) -> AsyncIterator[Operators]:
    async with operators(system.nats_url) as connected:
        yield connected


@pytest.fixture
async def exactly(operator: Operators) -> Exactly:
    return Exactly(operator, await operator.caller())


@pytest.fixture(scope="module")
async def through(system: RunningSystem, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ProxiedGateway]:
    """A gateway between two proxies; it gives a publish up after three seconds."""
    log = tmp_path_factory.mktemp("through") / "gateway.log"
    async with proxied_gateway(system.nats_url, log, publish_seconds=PUBLISH_SECONDS) as gateway:
        yield gateway


@pytest.fixture
async def mortal(system: RunningSystem, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ProxiedGateway]:
    """The same, of this test alone, to be killed."""
    async with proxied_gateway(system.nats_url, tmp_path_factory.mktemp("mortal") / "gateway.log") as gateway:
        yield gateway


def break_off(proxy: Proxy, how: str) -> None:
    proxy.cut() if how == "cut" else proxy.reset()


@pytest.mark.parametrize("how", ["cut", "reset"])
@pytest.mark.parametrize("point", Point)
async def test_the_clients_connection_breaks(
    system: RunningSystem, through: ProxiedGateway, exactly: Exactly, point: Point, how: str
) -> None:
    through.clients.catch(POST, point)
    async with in_background(exactly.send(through.url)) as first:
        await through.clients.caught()
        assert await stored_messages(exactly.operator, exactly.caller) == (point is Point.AFTER)
        break_off(through.clients, how)
        with pytest.raises(BROKEN):
            await first
    answers = [await exactly.send(url) for url in (system.gateway_url, through.url)]
    assert ("Idempotent-Replayed" in answers[0].headers) == (point is Point.AFTER)
    await exactly.holds(*answers)


@pytest.mark.parametrize(("point", "how"), [(Point.BEFORE, "cut"), (Point.WITHIN, "reset"), (Point.AFTER, "cut")])
async def test_the_gateways_connection_to_the_stream_breaks_and_it_repeats_by_itself(
    system: RunningSystem, through: ProxiedGateway, exactly: Exactly, point: Point, how: str
) -> None:
    through.nats.catch(PUBLISH, point)
    async with in_background(exactly.send(through.url)) as first:
        await through.nats.caught()
        break_off(through.nats, how)
        answer = await first
    await exactly.holds(answer, await exactly.send(system.gateway_url))


@pytest.mark.parametrize("point", [Point.BEFORE, Point.AFTER])
async def test_the_stream_falls_silent_so_the_outcome_is_unknown_and_the_retry_makes_it_known(
    system: RunningSystem, through: ProxiedGateway, exactly: Exactly, point: Point
) -> None:
    async with AsyncExitStack() as stack:
        through.nats.catch(PUBLISH, point)
        first = await stack.enter_async_context(in_background(exactly.send(through.url)))
        await through.nats.caught()
        error = refusal(await first, 503, "unavailable")
        assert error["outcome"] == "unknown"
        answer = await exactly.send(system.gateway_url)
        # What was on its way all the while arrives after the retry.
        through.nats.release()
        await eventually(lambda: exactly.send(through.url), lambda again: again.status == 202)
        await exactly.holds(answer, await exactly.send(through.url))


async def test_a_retry_overtakes_an_answer_that_is_held_up(
    system: RunningSystem, through: ProxiedGateway, exactly: Exactly
) -> None:
    through.clients.catch(POST, Point.AFTER)
    async with in_background(exactly.send(through.url)) as first:
        await through.clients.caught()
        second = await exactly.send(system.gateway_url)
        through.clients.release()
        await exactly.holds(await first, second)


async def test_a_retry_overtakes_a_request_that_is_held_up(
    system: RunningSystem, through: ProxiedGateway, exactly: Exactly
) -> None:
    through.clients.catch(POST, Point.WITHIN)
    async with in_background(exactly.send(through.url)) as late:
        await through.clients.caught()
        second = await exactly.send(system.gateway_url)
        through.clients.release()
        await exactly.holds(second, await late)


@pytest.mark.parametrize("point", [Point.BEFORE, Point.AFTER], ids=["before-publish", "before-ack"])
async def test_the_gateway_is_killed_on_either_side_of_the_publish(
    system: RunningSystem, mortal: ProxiedGateway, exactly: Exactly, point: Point
) -> None:
    mortal.nats.catch(PUBLISH, point)
    async with in_background(exactly.send(mortal.url)) as first:
        await mortal.nats.caught()
        await mortal.process.kill()
        with pytest.raises(BROKEN):
            await first
    mortal.nats.cut()
    assert await stored_messages(exactly.operator, exactly.caller) == (point is Point.AFTER)
    answers = [await exactly.send(system.gateway_url) for _ in range(2)]
    assert ("Idempotent-Replayed" in answers[0].headers) == (point is Point.AFTER)
    await exactly.holds(*answers)


async def test_the_gateway_is_killed_between_the_ack_and_the_answer(
    system: RunningSystem, mortal: ProxiedGateway, exactly: Exactly
) -> None:
    mortal.clients.catch(POST, Point.AFTER)
    async with in_background(exactly.send(mortal.url)) as first:
        await mortal.clients.caught()
        await mortal.process.kill()
        mortal.clients.reset()
        with pytest.raises(BROKEN):
            await first
    answer = await exactly.send(system.gateway_url)
    assert answer.headers["Idempotent-Replayed"] == "true"
    await exactly.holds(answer)


async def test_the_gateway_is_killed_after_the_answer(
    system: RunningSystem, mortal: ProxiedGateway, exactly: Exactly
) -> None:
    first = await exactly.send(mortal.url)
    await mortal.process.kill()
    await exactly.holds(first, await exactly.send(system.gateway_url))


async def test_a_gateway_killed_before_it_stored_anything_leaves_no_events_charged(
    mortal: ProxiedGateway, exactly: Exactly
) -> None:
    mortal.nats.catch(PUBLISH, Point.BEFORE)
    async with in_background(exactly.send(mortal.url)) as first:
        await mortal.nats.caught()
        await mortal.process.kill()
        with pytest.raises(BROKEN):
            await first
    mortal.nats.cut()
    usage = await exactly.operator.usage(exactly.caller.org_id)
    assert usage.used == 0
    assert usage.reserved <= len(exactly.markers), "what it held runs out with its lease"
