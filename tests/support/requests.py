"""Requests that are under way while a test does something else."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from wepeople_chassis.tasks import end

T = TypeVar("T")


@asynccontextmanager
async def in_background(sending: Coroutine[Any, Any, T]) -> AsyncIterator[asyncio.Task[T]]:
    """The request as a task, which does not outlive the test."""
    task = asyncio.create_task(sending)
    try:
        yield task
    finally:
        await end([task])
