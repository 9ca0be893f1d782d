"""bcrypt in a few threads of its own: slow on purpose, so it never runs on the event loop."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import bcrypt

from wepeople_auth.metrics import BCRYPT_SECONDS
from wepeople_auth.refusals import unavailable

T = TypeVar("T")


class Hashing:
    """Computes at most `workers` at a time and lets `waiting` more wait; refuses as `unavailable` beyond that."""

    def __init__(self, *, cost: int, workers: int, waiting: int) -> None:
        self._cost = cost
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="bcrypt")
        self._workers = workers
        self._all = self._places = workers + waiting

    @property
    def waiting(self) -> int:
        """How many computations wait for a thread."""
        return max(0, self._all - self._places - self._workers)

    async def hash(self, token: str) -> str:
        """A salted hash of the token."""
        return await self._compute(lambda: bcrypt.hashpw(token.encode(), bcrypt.gensalt(self._cost)).decode())

    async def matches(self, token: str, hashed: str) -> bool:
        """Whether the hash is of this token."""
        return await self._compute(lambda: bcrypt.checkpw(token.encode(), hashed.encode()))

    async def _compute(self, work: Callable[[], T]) -> T:
        if self._places == 0:
            raise unavailable("Auth is busy checking other keys. Try again in a second.")
        self._places -= 1
        future = asyncio.get_running_loop().run_in_executor(self._threads, BCRYPT_SECONDS.time()(work))
        future.add_done_callback(self._leave)
        return await future

    def _leave(self, _: object) -> None:
        self._places += 1

    def close(self) -> None:
        """Let what runs end; what waits is dropped."""
        self._threads.shutdown(wait=False, cancel_futures=True)
