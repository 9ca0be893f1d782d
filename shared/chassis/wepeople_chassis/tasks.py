"""Ending tasks for certain."""

import asyncio
from collections.abc import Collection
from typing import Any

_REPEAT_SECONDS = 1.0


async def end(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Cancel tasks and return once all have ended, whatever they raise; also when the caller is cancelled meanwhile, so
    that nothing goes on behind it.

    More than once, because `asyncio.wait_for` of Python 3.11, on which the NATS client stands, forgets a cancellation
    that comes in the same turn as what it waited for.
    """
    cancelled: asyncio.CancelledError | None = None
    while pending := {task for task in tasks if not task.done()}:
        for task in pending:
            task.cancel()
        try:
            await asyncio.wait(pending, timeout=_REPEAT_SECONDS)
        except asyncio.CancelledError as error:
            cancelled = error
    for task in tasks:
        if not task.cancelled():
            task.exception()
    if cancelled is not None:
        raise cancelled


async def run_together(*tasks: asyncio.Task[Any]) -> None:
    """Wait until one of the tasks ends, end the others, and raise what the first to fail raised."""
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await end(tasks)
    for task in tasks:
        if not task.cancelled():
            task.result()
