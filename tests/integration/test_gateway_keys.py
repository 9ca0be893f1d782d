"""Who is it: keys that open nothing, and keys that stop opening."""

import time

import pytest

from tests.support.client import Client, client, refusal
from tests.support.operators import Caller, Operators
from tests.support.read_models import eventually
from tests.support.system import RunningSystem
from tests.support.wire import request_bytes, wire
from wepeople_contracts.ids import new_key

pytestmark = pytest.mark.usefixtures("unharmed")

KEY = "wp_live_0123456789abcdef0123456789abcdef"
MALFORMED = [
    "",
    "Bearer",
    "Bearer ",
    "Bearer wp_live_",
    "Bearer wp_live_123",
    f"Bearer {KEY}0",
    f"Bearer {KEY.upper()}",
    f"Bearer wp_test_{'0' * 32}",
    f"Basic {KEY}",
    f"Bearer {KEY} {KEY}",
    "Bearer wp_live_" + "٣" * 32,
    "Bearer " + "x" * 4000,
]


@pytest.mark.parametrize("authorization", MALFORMED)
async def test_a_malformed_key_is_401(system: RunningSystem, authorization: str) -> None:
    async with client(system.gateway_url, None) as nobody:
        answer = await nobody.send("GET", "/ping", headers={"Authorization": authorization})
    refusal(answer, 401, "invalid_key")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


async def test_without_a_key_the_answer_is_401_even_to_a_body_that_is_all_wrong(system: RunningSystem) -> None:
    async with client(system.gateway_url, None) as nobody:
        refusal(await nobody.ping(), 401, "invalid_key")
        refusal(await nobody.send("POST", "/events", b"\xff", {"Content-Type": "text/plain"}), 401, "invalid_key")


async def seconds_to_refuse(system: RunningSystem, tokens: list[str]) -> float:
    began = time.monotonic()
    for token in tokens:
        async with client(system.gateway_url, token) as stranger:
            refusal(await stranger.ping(), 401, "invalid_key")
    return time.monotonic() - began


async def test_an_unknown_key_is_refused_without_hashing(system: RunningSystem, caller: Caller) -> None:
    unknown = [new_key() for _ in range(10)]
    public_id = caller.token[: len("wp_live_") + 12]
    forged = [public_id + token[-20:] for token in unknown]
    assert await seconds_to_refuse(system, unknown) < await seconds_to_refuse(system, forged) / 2


async def test_a_known_key_with_another_secret_is_401_and_the_right_one_still_works(
    system: RunningSystem, caller: Caller, api: Client
) -> None:
    forged = caller.token[:-1] + ("0" if caller.token[-1] != "0" else "1")
    async with client(system.gateway_url, forged) as forger:
        for _ in range(3):
            refusal(await forger.ping(), 401, "invalid_key")
    assert (await api.ping()).status == 200


async def test_a_body_behind_a_wrong_key_is_not_waited_for(system: RunningSystem) -> None:
    head = request_bytes("POST", "/events", new_key(), Content_Length="9000000")
    async with wire(system.gateway_url) as connection:
        await connection.send(head)
        refusal(await connection.answer(timeout_seconds=5), 401, "invalid_key")


async def test_a_revocation_is_effective_within_a_second_and_for_good(
    system: RunningSystem, operator: Operators, caller: Caller, api: Client
) -> None:
    new_key = await operator.key(caller.app_id)
    async with client(system.gateway_url, new_key.token) as leaked:
        assert (await leaked.ping()).status == 200
        await operator.revoke(new_key.key.key_id)
        await eventually(leaked.ping, lambda a: a.status == 401, within_seconds=1.0, what="401 after the revocation")
        for _ in range(20):
            refusal(await leaked.ping(), 401, "invalid_key")
    assert (await api.ping()).status == 200
