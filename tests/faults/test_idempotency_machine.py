"""Any sequence of requests, retries, broken connections and killed gateways, against real servers and a model of what
must be stored, answered and charged.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from tests.support.client import Answer, Client, client, refusal
from tests.support.exactness import charged, events_body, same, stored_messages
from tests.support.gateways import POST, PUBLISH, ProxiedGateway, proxied_gateway
from tests.support.operators import Caller, Operators, operators
from tests.support.proxy import Point, Proxy
from tests.support.requests import in_background
from tests.support.system import RunningSystem

EXAMPLES = 20
STEPS = 15
KILLS_PER_EXAMPLE = 2
CALL_SECONDS = 30.0

T = TypeVar("T")

GATEWAYS = st.integers(0, 1)
BODIES = st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map(tuple)


class World:
    """Two gateways between proxies, an operator, and the loop on which all of it runs."""

    def __init__(self, system: RunningSystem, operator: Operators, directory: Path, stack: AsyncExitStack) -> None:
        self._system = system
        self._directory = directory
        self._stack = stack
        self._loop = asyncio.get_running_loop()
        self.operator = operator
        self.gateways: list[ProxiedGateway] = []

    async def start(self) -> None:
        for number in range(2):
            log = self._directory / f"gateway-{number}.log"
            self.gateways.append(await self._stack.enter_async_context(proxied_gateway(self._system.nats_url, log)))

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Carry out in the tests' loop, for a machine that Hypothesis runs in a thread."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(CALL_SECONDS)


class Requests(RuleBasedStateMachine):
    """`stored` is the model: the body under each key that reached the log, and each keyless request."""

    world: World
    keys = Bundle("keys")

    def __init__(self) -> None:
        super().__init__()
        self.caller: Caller = self.world.run(self.world.operator.caller())
        self.bodies: dict[str, tuple[str, ...]] = {}
        self.stored: dict[str, tuple[str, ...]] = {}
        self.answers: dict[str, Answer] = {}
        self.kills = 0

    @rule(target=keys, body=BODIES, gateway=GATEWAYS)
    def send_with_a_new_key(self, body: tuple[str, ...], gateway: int) -> str:
        key = f"key-{len(self.bodies)}"
        self.bodies[key] = body
        self._settle(key, gateway)
        return key

    @rule(body=BODIES, gateway=GATEWAYS)
    def send_without_a_key(self, body: tuple[str, ...], gateway: int) -> None:
        answer = self.world.run(self._send(gateway, None, body))
        assert answer.status == 202, answer
        assert "Idempotent-Replayed" not in answer.headers
        self.stored[answer.json()["requestId"]] = body

    @rule(key=keys, gateway=GATEWAYS)
    def send_again(self, key: str, gateway: int) -> None:
        self._settle(key, gateway)

    @rule(key=keys, gateway=GATEWAYS)
    def send_another_body_with_a_used_key(self, key: str, gateway: int) -> None:
        other = (*self.bodies[key], "other")
        if key not in self.stored:
            self.bodies[key] = other
            self._settle(key, gateway)
            return
        error = refusal(self.world.run(self._send(gateway, key, other)), 422, "idempotency_mismatch")
        if key in self.answers:
            assert error["originalRequestId"] == self.answers[key].json()["requestId"]

    @rule(key=keys, copies=st.integers(2, 6))
    def race_copies(self, key: str, copies: int) -> None:
        async def race() -> list[Answer]:
            return await asyncio.gather(*(self._send(n % 2, key, self.bodies[key]) for n in range(copies)))

        for answer in self.world.run(race()):
            self._note(key, answer)

    @rule(target=keys, body=BODIES, gateway=GATEWAYS, point=st.sampled_from(Point), reset=st.booleans())
    def lose_the_connection(self, body: tuple[str, ...], gateway: int, point: Point, reset: bool) -> str:
        key = f"key-{len(self.bodies)}"
        self.bodies[key] = body
        proxy = self.world.gateways[gateway].clients
        self.world.run(self._break(proxy, POST, point, key, gateway, kill=False, reset=reset))
        if point is Point.AFTER:
            self.stored[key] = body
        return key

    @precondition(lambda self: self.kills < KILLS_PER_EXAMPLE)
    @rule(target=keys, body=BODIES, gateway=GATEWAYS, point=st.sampled_from(Point))
    def kill_a_gateway_that_stores(self, body: tuple[str, ...], gateway: int, point: Point) -> str:
        self.kills += 1
        key = f"key-{len(self.bodies)}"
        self.bodies[key] = body
        proxy = self.world.gateways[gateway].nats
        self.world.run(self._break(proxy, PUBLISH, point, key, gateway, kill=True, reset=False))
        if point is Point.AFTER:
            self.stored[key] = body
        return key

    @precondition(lambda self: self.kills < KILLS_PER_EXAMPLE)
    @rule(gateway=GATEWAYS)
    def kill_an_idle_gateway(self, gateway: int) -> None:
        self.kills += 1
        self.world.run(self._kill(gateway))

    def teardown(self) -> None:
        for number, key in enumerate(self.bodies):
            self._settle(key, number % 2)
        assert self.world.run(stored_messages(self.world.operator, self.caller)) == len(self.stored)
        self.world.run(charged(self.world.operator, self.caller, sum(map(len, self.stored.values()))))

    def _settle(self, key: str, gateway: int) -> None:
        self._note(key, self.world.run(self._send(gateway, key, self.bodies[key])))

    def _note(self, key: str, answer: Answer) -> None:
        """The key's first answer is its answer for good, and a replay if it was stored before."""
        assert answer.status == 202, answer
        if key in self.answers:
            assert same(self.answers[key], answer), (self.answers[key], answer)
        elif key in self.stored:
            assert answer.headers["Idempotent-Replayed"] == "true", answer
        self.stored[key] = self.bodies[key]
        self.answers.setdefault(key, answer)

    async def _send(self, gateway: int, key: str | None, body: tuple[str, ...]) -> Answer:
        async with client(self.world.gateways[gateway].url, self.caller.token) as api:
            return await self._post(api, key, body)

    async def _post(self, api: Client, key: str | None, body: tuple[str, ...]) -> Answer:
        return await api.post("/events", events_body(*body), key)

    async def _break(
        self, proxy: Proxy, mark: bytes, point: Point, key: str, gateway: int, *, kill: bool, reset: bool
    ) -> None:
        proxy.catch(mark, point)
        async with in_background(self._send(gateway, key, self.bodies[key])) as sending:
            await proxy.caught()
            if kill:
                await self._kill(gateway)
            if reset:
                proxy.reset()
            else:
                proxy.cut()
            with pytest.raises((aiohttp.ClientError, ConnectionError)):
                await sending

    async def _kill(self, gateway: int) -> None:
        process = self.world.gateways[gateway].process
        await process.kill()
        await process.start()


@pytest.fixture
async def world(system: RunningSystem, tmp_path: Path) -> AsyncIterator[World]:
    async with operators(system.nats_url) as operator, AsyncExitStack() as stack:
        running = World(system, operator, tmp_path, stack)
        await running.start()
        yield running


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_whatever_happens_each_key_is_stored_once_answered_alike_and_charged_once(world: World) -> None:
    machine = type("Machine", (Requests,), {"world": world})
    bounds = settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        deadline=None,
        phases=[Phase.generate],  # each step starts from where servers are: shrinking would take many minutes
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    await asyncio.to_thread(run_state_machine_as_test, machine, settings=bounds)
