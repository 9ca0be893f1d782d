"""Principals in the gateway: how long auth's word holds, and what ends it."""

import asyncio
from collections.abc import Callable

import pytest
from nats.errors import NoRespondersError

from wepeople_contracts.auth import KeyRevoked, Principal
from wepeople_contracts.ids import new_key
from wepeople_contracts.reply import Reply, RpcError
from wepeople_gateway.errors import ApiError
from wepeople_gateway.metrics import auth_away
from wepeople_gateway.principals import Principals


class Message:
    def __init__(self, data: bytes) -> None:
        self.data = data


class Auth:
    """Stands where the connection to NATS stands: answers as auth would, and counts the questions."""

    def __init__(self) -> None:
        self.answer: Callable[[], Reply[Principal]] = lambda: Reply[Principal](ok=principal())
        self.asked = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.on_revoked: Callable[[Message], object] | None = None

    async def request(self, subject: str, data: bytes, timeout: float, headers: object) -> Message:
        self.asked += 1
        await self.gate.wait()
        return Message(self.answer().model_dump_json().encode())

    async def subscribe(self, subject: str, cb: Callable[[Message], object]) -> None:
        self.on_revoked = cb


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def principal(age_seconds: float = 0.0) -> Principal:
    return Principal(
        org_id="org_1",
        app_id="app_1",
        app_slug="ci",
        connection="custom:ci",
        key_id="0123456789ab",
        allowed_event_types=frozenset(),
        key_requests_per_second=60,
        org_requests_per_second=600,
        max_events_per_month=None,
        age_seconds=age_seconds,
    )


async def code_of(principals: Principals, authorization: str | None) -> str:
    try:
        await principals.authenticate(authorization)
    except ApiError as error:
        return error.code
    return "ok"


@pytest.fixture
def auth() -> Auth:
    return Auth()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def principals(auth: Auth, clock: Clock) -> Principals:
    return Principals(auth, clock=clock)  # type: ignore[arg-type]


BEARER = f"Bearer {new_key()}"


@pytest.mark.parametrize(
    "header", [None, "", "Basic x", "Bearer", "Bearer wp_live_short", "bearer wp_test_" + "0" * 32]
)
async def test_what_is_no_key_is_refused_without_asking(principals: Principals, auth: Auth, header: str | None) -> None:
    assert await code_of(principals, header) == "invalid_key"
    assert auth.asked == 0


async def test_a_known_key_is_not_asked_for_again(principals: Principals, auth: Auth) -> None:
    assert [await code_of(principals, BEARER) for _ in range(3)] == ["ok"] * 3
    assert auth.asked == 1


async def test_callers_who_come_at_once_share_one_question(principals: Principals, auth: Auth) -> None:
    auth.gate.clear()
    waiting = [asyncio.create_task(code_of(principals, BEARER)) for _ in range(5)]
    await asyncio.sleep(0)
    auth.gate.set()
    assert await asyncio.gather(*waiting) == ["ok"] * 5
    assert auth.asked == 1


@pytest.mark.parametrize("trouble", ["gone", "busy"])
async def test_while_auth_cannot_tell_its_word_holds_for_a_minute_from_its_own_read(
    principals: Principals, auth: Auth, clock: Clock, trouble: str
) -> None:
    auth.answer = lambda: Reply[Principal](ok=principal(age_seconds=20))
    assert await code_of(principals, BEARER) == "ok"

    def gone() -> Reply[Principal]:
        raise NoRespondersError

    busy = RpcError(code="unavailable", message="later")
    auth.answer = gone if trouble == "gone" else lambda: Reply[Principal](error=busy)
    clock.now += 39.9
    passed_so_far = auth_away.count
    assert await code_of(principals, BEARER) == "ok"
    assert auth_away.count == passed_so_far + 1
    clock.now += 0.2
    assert await code_of(principals, BEARER) == "unavailable"


async def test_a_refusal_ends_what_was_known(principals: Principals, auth: Auth, clock: Clock) -> None:
    assert await code_of(principals, BEARER) == "ok"
    auth.answer = lambda: Reply[Principal](error=RpcError(code="invalid_key", message="no"))
    clock.now += 31
    assert await code_of(principals, BEARER) == "invalid_key"


async def test_a_revocation_is_not_undone_by_an_answer_that_was_under_way(principals: Principals, auth: Auth) -> None:
    await principals.listen()
    auth.gate.clear()
    racing = asyncio.create_task(code_of(principals, BEARER))
    async with asyncio.timeout(1):
        while auth.asked == 0:
            await asyncio.sleep(0)
    assert auth.on_revoked is not None
    revoked = Message(KeyRevoked(key_id="0123456789ab").model_dump_json().encode())
    await auth.on_revoked(revoked)  # type: ignore[misc]
    answers = iter(
        [Reply[Principal](ok=principal()), Reply[Principal](error=RpcError(code="invalid_key", message="no"))]
    )
    auth.answer = lambda: next(answers)
    auth.gate.set()
    assert await racing == "invalid_key"


async def test_after_a_lost_connection_everything_is_asked_again(principals: Principals, auth: Auth) -> None:
    assert await code_of(principals, BEARER) == "ok"
    await principals.forget_all()
    assert await code_of(principals, BEARER) == "ok"
    assert auth.asked == 2
