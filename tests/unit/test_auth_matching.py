"""bcrypt is asked as rarely as can be, and guesses at one key do not hold up the others."""

import asyncio

import pytest

from wepeople_auth.keys.matching import Matching
from wepeople_chassis.rpc import Refused

RIGHT, WRONG = "wp_live_right", "wp_live_wrong"


class SlowChecker:
    """Says yes to the token named in the hash, once the test lets it."""

    def __init__(self, *, open_at_once: bool = True) -> None:
        self.asked: list[str] = []
        self.at_once = 0
        self.most_at_once = 0
        self.gate = asyncio.Event()
        if open_at_once:
            self.gate.set()

    async def matches(self, token: str, hashed: str) -> bool:
        self.asked.append(token)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await self.gate.wait()
        self.at_once -= 1
        return hashed == f"hash of {token}"


@pytest.mark.parametrize(("token", "verdict"), [(RIGHT, True), (WRONG, False)])
async def test_a_verdict_costs_one_check_however_often_it_is_asked(token: str, verdict: bool) -> None:
    checker = SlowChecker()
    matching = Matching(checker)
    assert matching.remembered(token, f"hash of {RIGHT}") is None
    assert [await matching.matches(token, f"hash of {RIGHT}") for _ in range(3)] == [verdict] * 3
    assert matching.remembered(token, f"hash of {RIGHT}") is verdict
    assert checker.asked == [token]


async def test_a_verdict_does_not_outlive_the_hash() -> None:
    matching = Matching(SlowChecker())
    assert await matching.matches(RIGHT, f"hash of {RIGHT}")
    assert matching.remembered(RIGHT, "another hash") is None


async def test_those_who_ask_the_same_at_the_same_time_share_one_check() -> None:
    checker = SlowChecker(open_at_once=False)
    matching = Matching(checker)
    asking = [asyncio.create_task(matching.matches(RIGHT, f"hash of {RIGHT}")) for _ in range(20)]
    await asyncio.sleep(0)
    checker.gate.set()
    assert await asyncio.gather(*asking) == [True] * 20
    assert checker.asked == [RIGHT]


async def test_one_who_gives_up_waiting_does_not_end_the_check_of_the_others() -> None:
    checker = SlowChecker(open_at_once=False)
    matching = Matching(checker)
    impatient = asyncio.create_task(matching.matches(RIGHT, f"hash of {RIGHT}"))
    patient = asyncio.create_task(matching.matches(RIGHT, f"hash of {RIGHT}"))
    await asyncio.sleep(0)
    impatient.cancel()
    checker.gate.set()
    assert await patient


async def test_different_tokens_for_one_key_take_turns_and_only_so_many_may_wait() -> None:
    checker = SlowChecker(open_at_once=False)
    matching = Matching(checker, max_turns=3)
    guesses = [asyncio.create_task(matching.matches(f"guess {n}", "hash of one")) for n in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(Refused) as refused:
        await matching.matches("guess 4", "hash of one")
    assert refused.value.error.code == "unavailable"
    other = asyncio.create_task(matching.matches("two", "hash of two"))
    await asyncio.sleep(0)
    checker.gate.set()
    assert await asyncio.gather(*guesses, other) == [False, False, False, True]
    assert checker.most_at_once == 2
    assert not await matching.matches("guess 5", "hash of one")


async def test_wrong_tokens_do_not_push_right_ones_out() -> None:
    checker = SlowChecker()
    matching = Matching(checker, right_limit=1, wrong_limit=1)
    assert await matching.matches(RIGHT, f"hash of {RIGHT}")
    for n in range(5):
        assert not await matching.matches(f"guess {n}", f"hash of {RIGHT}")
    assert matching.remembered(RIGHT, f"hash of {RIGHT}") is True


async def test_a_check_that_fails_is_asked_again() -> None:
    class Broken(SlowChecker):
        async def matches(self, token: str, hashed: str) -> bool:
            if not await super().matches(token, hashed) or len(self.asked) == 1:
                raise RuntimeError("no thread")
            return True

    matching = Matching(Broken())
    with pytest.raises(RuntimeError):
        await matching.matches(RIGHT, f"hash of {RIGHT}")
    assert await matching.matches(RIGHT, f"hash of {RIGHT}")
