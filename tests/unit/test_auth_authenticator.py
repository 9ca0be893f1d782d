"""From token to principal: by memory where it may, by Postgres and bcrypt where it must, never past a revocation."""

import asyncio
from collections.abc import Callable

import pytest

from wepeople_auth.keys.authenticator import Authenticator
from wepeople_auth.keys.matching import Matching
from wepeople_auth.keys.states import KeyState, KeyStates
from wepeople_auth.refusals import DatabaseAway
from wepeople_chassis.rpc import Refused
from wepeople_contracts.auth import Principal
from wepeople_contracts.ids import key_public_id, new_key

TOKEN = new_key()
KEY = key_public_id(TOKEN) or ""
WRONG = TOKEN[:-1] + ("0" if TOKEN[-1] != "0" else "1")


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Database:
    """Holds one key; a test may revoke it, take the database away, or act in the middle of a read."""

    def __init__(self) -> None:
        self.revoked = False
        self.away = False
        self.reads = 0
        self.during_read: Callable[[], None] = lambda: None

    async def read_state(self, key_id: str) -> KeyState | None:
        self.reads += 1
        if self.away:
            raise DatabaseAway
        revoked = self.revoked
        await asyncio.sleep(0)
        during, self.during_read = self.during_read, lambda: None
        during()
        if key_id != KEY:
            return None
        principal = Principal(
            org_id="org_1",
            app_id="app_1",
            app_slug="ci",
            connection="custom:ci",
            key_id=KEY,
            allowed_event_types=frozenset(),
            key_requests_per_second=60,
            org_requests_per_second=600,
            max_events_per_month=None,
        )
        return KeyState(hash="the hash", revoked=revoked, principal=principal)


class Bcrypt:
    """Knows the one token; a test may act in the middle of a check."""

    def __init__(self) -> None:
        self.checks = 0
        self.during_check: Callable[[], None] = lambda: None

    async def matches(self, token: str, hashed: str) -> bool:
        self.checks += 1
        await asyncio.sleep(0)
        self.during_check()
        return token == TOKEN and hashed == "the hash"


class Auth:
    """The authenticator among its parts."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.database = Database()
        self.bcrypt = Bcrypt()
        self.states = KeyStates()
        self.authenticator = Authenticator(self.database, Matching(self.bcrypt), self.states, clock=self.clock)

    async def ask(self, token: str = TOKEN) -> Principal:
        return await self.authenticator.authenticate(token)

    async def refusal(self, token: str = TOKEN) -> str:
        with pytest.raises(Refused) as refused:
            await self.ask(token)
        return refused.value.error.code

    def revoke(self) -> None:
        """Committed, and heard of."""
        self.database.revoked = True
        self.states.forget(KEY)


@pytest.fixture
def auth() -> Auth:
    return Auth()


async def test_the_second_time_the_answer_comes_from_memory_with_its_age(auth: Auth) -> None:
    assert auth.authenticator.recall(TOKEN) is None
    assert (await auth.ask()).age_seconds == 0.0
    auth.clock.now += 4.0
    recalled = auth.authenticator.recall(TOKEN)
    assert recalled is not None
    assert recalled.key_id == KEY
    assert recalled.age_seconds == 4.0
    assert (auth.database.reads, auth.bcrypt.checks) == (1, 1)


async def test_an_older_state_costs_one_read_and_no_bcrypt(auth: Auth) -> None:
    await auth.ask()
    auth.clock.now += 6.0
    assert auth.authenticator.recall(TOKEN) is None
    assert (await auth.ask()).age_seconds == 0.0
    assert (auth.database.reads, auth.bcrypt.checks) == (2, 1)


async def test_many_who_ask_at_once_share_one_read_and_one_check(auth: Auth) -> None:
    principals = await asyncio.gather(*(auth.ask() for _ in range(50)))
    assert {principal.key_id for principal in principals} == {KEY}
    assert (auth.database.reads, auth.bcrypt.checks) == (1, 1)


@pytest.mark.parametrize("token", ["", "wp_live_", TOKEN.upper(), TOKEN + "0", " " + TOKEN], ids=range(5))
async def test_what_is_not_shaped_like_a_key_reaches_neither_postgres_nor_bcrypt(auth: Auth, token: str) -> None:
    assert await auth.refusal(token) == "invalid_key"
    assert (auth.database.reads, auth.bcrypt.checks) == (0, 0)


async def test_an_unknown_id_is_refused_without_bcrypt(auth: Auth) -> None:
    assert await auth.refusal(new_key()) == "invalid_key"
    assert auth.bcrypt.checks == 0


async def test_a_wrong_secret_said_again_costs_no_second_check(auth: Auth) -> None:
    assert [await auth.refusal(WRONG) for _ in range(3)] == ["invalid_key"] * 3
    assert auth.bcrypt.checks == 1


async def test_malformed_unknown_wrong_and_revoked_keys_are_refused_in_the_same_words(auth: Auth) -> None:
    words = set()
    for token in ("", new_key(), WRONG, TOKEN):
        auth.database.revoked = token == TOKEN
        auth.states.forget_all()
        with pytest.raises(Refused) as refused:
            await auth.ask(token)
        words.add(refused.value.error.model_dump_json())
    assert len(words) == 1


async def test_a_revocation_counts_at_once(auth: Auth) -> None:
    await auth.ask()
    auth.revoke()
    assert await auth.refusal() == "invalid_key"


async def test_a_revocation_heard_in_the_middle_of_a_read_wins(auth: Auth) -> None:
    auth.database.during_read = auth.revoke
    assert await auth.refusal() == "invalid_key"
    assert await auth.refusal() == "invalid_key"


async def test_a_revocation_heard_in_the_middle_of_bcrypt_wins(auth: Auth) -> None:
    auth.bcrypt.during_check = auth.revoke
    assert await auth.refusal() == "invalid_key"


async def test_one_who_asks_after_a_revocation_gets_no_answer_of_a_read_begun_before(auth: Auth) -> None:
    await auth.ask()
    auth.clock.now += 6.0
    later: list[asyncio.Task[Principal]] = []

    def revoke_and_ask_again() -> None:
        auth.revoke()
        later.append(asyncio.create_task(auth.ask()))

    auth.database.during_read = revoke_and_ask_again
    assert await auth.refusal() == "invalid_key"
    with pytest.raises(Refused):
        await later[0]


async def test_with_postgres_away_memory_serves_for_sixty_seconds_and_then_nobody_gets_in(auth: Auth) -> None:
    await auth.ask()
    auth.database.away = True
    auth.clock.now += 59.0
    assert (await auth.ask()).age_seconds == 59.0
    auth.clock.now += 2.0
    assert await auth.refusal() == "unavailable"


async def test_with_postgres_away_only_one_caller_a_second_is_sent_to_look(auth: Auth) -> None:
    await auth.ask()
    auth.database.away = True
    auth.clock.now += 10.0
    await auth.ask()
    reads = auth.database.reads
    assert all(auth.authenticator.recall(TOKEN) for _ in range(100))
    auth.clock.now += 1.5
    await asyncio.gather(*(auth.ask() for _ in range(100)))
    assert auth.database.reads == reads + 1


async def test_when_postgres_is_back_states_are_fresh_again(auth: Auth) -> None:
    await auth.ask()
    auth.database.away = True
    auth.clock.now += 10.0
    await auth.ask()
    auth.database.away = False
    auth.clock.now += 1.5
    assert (await auth.ask()).age_seconds == 0.0
    auth.clock.now += 6.0
    assert auth.authenticator.recall(TOKEN) is None


async def test_with_postgres_away_a_key_never_seen_is_unavailable_and_not_invalid(auth: Auth) -> None:
    auth.database.away = True
    assert await auth.refusal() == "unavailable"


async def test_with_postgres_away_a_revoked_key_does_not_come_back_from_memory(auth: Auth) -> None:
    await auth.ask()
    auth.database.away = True
    auth.revoke()
    assert await auth.refusal() == "unavailable"
