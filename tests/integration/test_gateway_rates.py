"""How often may they: the key's and the org's rates, and what a refused client is told."""

import asyncio
import re
import time
from collections import Counter

import pytest

from tests.support.client import Answer, client, refusal
from tests.support.operators import Operators, make_plan
from tests.support.read_models import eventually
from tests.support.system import RunningSystem
from tests.support.wire import request_bytes, wire

pytestmark = pytest.mark.usefixtures("unharmed")


async def burst(system: RunningSystem, token: str, requests: int) -> tuple[list[Answer], float]:
    """Ping once, so that the key is known, and the rest at once; the answers, and how many seconds they took."""
    async with client(system.gateway_url, token) as caller:
        began = time.monotonic()
        first = await caller.ping()
        answers = await asyncio.gather(*(caller.ping() for _ in range(requests - 1)))
        return [first, *answers], time.monotonic() - began


def admitted(answers: list[Answer]) -> int:
    count = Counter(answer.status for answer in answers)
    assert count.keys() <= {200, 429}, count
    return count[200]


async def test_of_more_than_sixty_requests_in_a_second_sixty_pass(system: RunningSystem, operator: Operators) -> None:
    caller = await operator.caller("standard")
    answers, seconds = await burst(system, caller.token, 90)
    windows = 1 + int(seconds)
    assert 60 <= admitted(answers) <= 60 * windows, f"in {seconds:.2f} s"
    if windows == 1:
        assert admitted(answers) == 60
    for answer in answers:
        if answer.status == 429:
            assert refusal(answer, 429, "rate_limited")["scope"] == "key"


async def test_a_refused_client_gets_through_after_the_time_it_was_told(
    system: RunningSystem, operator: Operators
) -> None:
    caller = await operator.caller(requests_per_second=3)
    answers, _ = await burst(system, caller.token, 12)
    refused = [answer for answer in answers if answer.status == 429]
    assert refused
    waits = {answer.headers["Retry-After"] for answer in refused}
    assert waits == {"1"}, "whole seconds, at least one, and the window is one second long"
    await asyncio.sleep(1)
    async with client(system.gateway_url, caller.token) as again:
        assert (await again.ping()).status == 200


async def test_a_refusal_costs_nothing(system: RunningSystem, operator: Operators) -> None:
    caller = await operator.caller(requests_per_second=5)
    count: Counter[int] = Counter()
    async with client(system.gateway_url, caller.token) as eager:
        began = time.monotonic()
        while count[200] < 8 and time.monotonic() - began < 10:
            count[(await eager.ping()).status] += 1
            await asyncio.sleep(0.02)
        seconds = time.monotonic() - began
    assert count[429] > 0
    assert 1 <= seconds < 5, f"a client above its rate is let through at its rate, not starved: {count}"


async def test_a_key_just_refused_is_refused_again_before_its_body_is_sent(
    system: RunningSystem, operator: Operators
) -> None:
    caller = await operator.caller(requests_per_second=1)
    head = request_bytes("POST", "/events", caller.token, Content_Length="9000000")
    async with wire(system.gateway_url) as connection, client(system.gateway_url, caller.token) as eager:
        await eventually(eager.ping, lambda answer: answer.status == 429)
        await connection.send(head)
        refusal(await connection.answer(timeout_seconds=5), 429, "rate_limited")


async def test_an_orgs_rate_is_shared_by_its_keys_and_named_as_the_scope(
    system: RunningSystem, operator: Operators
) -> None:
    await make_plan(system.admin_dsn, "test_slow_org", max_events_per_month=None, org_requests_per_second=10)
    caller = await operator.caller("test_slow_org")
    second = await operator.key(caller.app_id)
    async with (
        client(system.gateway_url, caller.token) as one,
        client(system.gateway_url, second.token) as other,
    ):
        began = time.monotonic()
        known = await asyncio.gather(one.ping(), other.ping())
        answers = [*known, *await asyncio.gather(*(api.ping() for _ in range(15) for api in (one, other)))]
        windows = 1 + int(time.monotonic() - began)
    assert 10 <= admitted(answers) <= 10 * windows
    scopes = {refusal(a, 429, "rate_limited")["scope"] for a in answers if a.status == 429}
    assert scopes == {"org"}


async def test_keys_of_one_org_do_not_share_their_own_rates(system: RunningSystem, operator: Operators) -> None:
    caller = await operator.caller(requests_per_second=2)
    second = await operator.key(caller.app_id, requests_per_second=2)
    answers, _ = await burst(system, caller.token, 8)
    assert admitted(answers) < 8
    async with client(system.gateway_url, second.token) as neighbour:
        assert (await neighbour.ping()).status == 200


async def test_answers_tell_the_policy_and_what_is_left_of_it(system: RunningSystem, operator: Operators) -> None:
    caller = await operator.caller(requests_per_second=4)
    async with client(system.gateway_url, caller.token) as api:
        answers = [await api.ping() for _ in range(2)] + [await api.post("/events", b"{")]
        before_quota = [await api.send("POST", "/events", b"{}", {"Content-Type": "text/plain"})]
    assert [answer.status for answer in answers + before_quota] == [200, 200, 400, 415]
    for answer in answers + before_quota:
        assert answer.headers["RateLimit-Policy"] == '"key";q=4;w=1, "org";q=20000;w=1'
        left = re.fullmatch(r'"key";r=([0-4]);t=[01]', answer.headers["RateLimit"])
        assert left, answer.headers["RateLimit"]
