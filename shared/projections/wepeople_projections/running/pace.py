"""Gives way to the live read models: while they have messages to apply, a replay works a twentieth of the time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from nats.aio.client import Client
from nats.aio.msg import Msg
from pydantic import ValidationError

from wepeople_chassis.stream import quietly
from wepeople_contracts.projection import Projected
from wepeople_contracts.subjects import PROJECTED_ALL

FORGET_SECONDS = 10.0
"""So long a partition counts as behind after it said so: a loaded machine has seconds between commits, and a projector
that was killed says nothing more.
"""
REST_PER_WORK = 19.0
MAX_REST_SECONDS = 2.0
"""So that nobody waits for long once the live read models have nothing to do; small batches keep the share."""


class Pace:
    """One process's."""

    def __init__(self) -> None:
        self._behind_until: dict[int, float] = {}
        self._turn = asyncio.Lock()

    @property
    def busy(self) -> bool:
        """Whether to give way now: some partition of the live read models was behind at its last commit."""
        now = asyncio.get_running_loop().time()
        return any(now < until for until in self._behind_until.values())

    def heard(self, projected: Projected) -> None:
        """Take note of how far the live read models are."""
        now = asyncio.get_running_loop().time()
        self._behind_until[projected.partition] = now + FORGET_SECONDS if projected.pending else 0.0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[bool]:
        """Work within it: at once when there is nobody to give way to; else (it is true then) one of the process's
        partitions after the other, each followed by a rest.
        """
        if not self.busy:
            yield False
            return
        async with self._turn:
            clock = asyncio.get_running_loop().time
            begun = clock()
            yield True
            if self.busy:
                await asyncio.sleep(min(REST_PER_WORK * (clock() - begun), MAX_REST_SECONDS))


@asynccontextmanager
async def listening(connection: Client, pace: Pace) -> AsyncIterator[None]:
    """Keep a pace informed of what the live read models broadcast."""

    async def hear(message: Msg) -> None:
        try:
            pace.heard(Projected.model_validate_json(message.data))
        except ValidationError:
            return

    subscription = await connection.subscribe(PROJECTED_ALL, cb=hear)
    try:
        yield
    finally:
        await quietly(subscription.unsubscribe())
