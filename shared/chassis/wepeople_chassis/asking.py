"""One question, asked at most once at a time, whose asker never waits longer than it wants to."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Question(Generic[T]):
    """Made of what asks it; who asks meanwhile waits for the same answer. A client whose server hangs may not even let
    itself be cancelled: then it is left behind, and not asked again before it has ended.
    """

    def __init__(self, ask: Callable[[], Awaitable[T]]) -> None:
        self._ask = ask
        self._task: asyncio.Task[T] | None = None
        self._given_up = False

    async def answer(self, timeout_seconds: float) -> T:
        """What it answers or raises; `TimeoutError` when it does neither in time, at once while it is left behind."""
        task = self._task
        if task is None or task.done():
            task = self._task = asyncio.create_task(self._put())
            task.add_done_callback(_taken_note_of)
            self._given_up = False
        elif self._given_up:
            raise TimeoutError
        await asyncio.wait({task}, timeout=timeout_seconds)
        if not task.done():
            task.cancel()
            self._given_up = True
            raise TimeoutError
        if task.cancelled():
            raise TimeoutError
        return task.result()

    async def _put(self) -> T:
        return await self._ask()


def _taken_note_of(task: asyncio.Task[T]) -> None:
    if not task.cancelled():
        task.exception()
