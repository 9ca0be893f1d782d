"""Whether a token is the one behind a hash: asked of bcrypt once, remembered as long as the hash stands."""

import asyncio
import hashlib
from dataclasses import dataclass, field
from typing import Protocol

from wepeople_auth.keys.lru import Lru
from wepeople_auth.refusals import unavailable

_Pair = tuple[bytes, str]


class Checker(Protocol):
    """What computes the slow answer."""

    async def matches(self, token: str, hashed: str) -> bool:
        """Whether the hash is of this token."""


@dataclass(slots=True)
class _Turn:
    """The checks of one hash, one after the other."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    asked: int = 0


class Matching:
    """Remembers verdicts by (SHA-256 of the token, hash); the token itself is never kept.

    Wrong tokens have a memory of their own, so that they cannot push the right ones out. Those who ask the same at
    the same time share one check; different tokens for one hash take turns, at most `max_turns` of them, so that
    guesses at one key cannot take all threads.
    """

    def __init__(self, checker: Checker, *, right_limit: int = 50_000, wrong_limit: int = 10_000, max_turns: int = 8):
        self._checker = checker
        self._right: Lru[_Pair, bool] = Lru(right_limit)
        self._wrong: Lru[_Pair, bool] = Lru(wrong_limit)
        self._running: dict[_Pair, asyncio.Task[bool]] = {}
        self._turns: dict[str, _Turn] = {}
        self._max_turns = max_turns

    def remembered(self, token: str, hashed: str) -> bool | None:
        """The verdict if it is known, else None."""
        return self._known((_digest(token), hashed))

    async def matches(self, token: str, hashed: str) -> bool:
        """The verdict, by bcrypt if need be; `unavailable` when too many checks wait already."""
        pair = (_digest(token), hashed)
        if (known := self._known(pair)) is not None:
            return known
        if (task := self._running.get(pair)) is None:
            task = asyncio.create_task(self._check(token, pair, self._take_turn(hashed)))
            self._running[pair] = task
        return await asyncio.shield(task)

    def _known(self, pair: _Pair) -> bool | None:
        if self._right.get(pair):
            return True
        return False if self._wrong.get(pair) else None

    def _take_turn(self, hashed: str) -> _Turn:
        turn = self._turns.setdefault(hashed, _Turn())
        if turn.asked >= self._max_turns:
            raise unavailable("Too many different secrets are being tried for this key. Try again in a second.")
        turn.asked += 1
        return turn

    async def _check(self, token: str, pair: _Pair, turn: _Turn) -> bool:
        hashed = pair[1]
        try:
            async with turn.lock:
                matched = await self._checker.matches(token, hashed)
            (self._right if matched else self._wrong).put(pair, True)
            return matched
        finally:
            del self._running[pair]
            turn.asked -= 1
            if turn.asked == 0:
                del self._turns[hashed]


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
