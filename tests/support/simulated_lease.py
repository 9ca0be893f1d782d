"""The server that holds quota's leases, in virtual time, and ways to it that are good and bad."""

import asyncio
from collections.abc import Callable
from random import Random
from typing import TypeVar

from wepeople_quota.bucket import Bucket, Entry, entry_of

Delays = Callable[[], tuple[float, float]]
T = TypeVar("T")


def quick() -> tuple[float, float]:
    """Seconds to the server, and back."""
    return 0.001, 0.001


def cut() -> tuple[float, float]:
    """Nothing arrives."""
    return 3600.0, 0.0


class Link:
    """One process's way to the server, good and bad in turns."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._slowest = (0.002, 0.002)
        self._until = 0.0

    def delays(self) -> tuple[float, float]:
        """Of the next request."""
        now = asyncio.get_running_loop().time()
        if now >= self._until:
            self._until = now + self._random.uniform(0.5, 8)
            self._slowest = self._random.choice([(0.002, 0.002), (0.002, 1.0), (1.0, 0.002), (6.0, 6.0), (3600.0, 0.0)])
        there, back = self._slowest
        return self._random.uniform(0, there), self._random.uniform(0, back)


class Server:
    """The entry, and the epochs that it had."""

    def __init__(self) -> None:
        self.entry = Entry(0, 0, "")
        self.epochs: list[int] = []

    def overwrite(self) -> None:
        """Somebody has JetStream put an answer of its own there."""
        self.entry = entry_of(self.entry.revision + 1, b'{"type":"io.nats.jetstream.api.v1.stream_info_response"}')


class SimulatedBucket(Bucket):
    """A request that takes too long is not waited for, but it arrives all the same."""

    def __init__(self, server: Server, delays: Delays) -> None:
        self._server = server
        self.delays = delays

    async def read(self) -> Entry:
        """The entry, when the answer arrives."""
        return await exchange(self.delays, lambda: self._server.entry, 2.0)

    async def replace(self, seen: Entry, epoch: int, owner: str, partitions: frozenset[int]) -> Entry | None:
        """Compare and set, when the request arrives."""

        def compare_and_set() -> Entry | None:
            if self._server.entry.revision != seen.revision:
                return None
            self._server.entry = Entry(seen.revision + 1, epoch, owner, partitions)
            self._server.epochs.append(epoch)
            return self._server.entry

        return await exchange(self.delays, compare_and_set, 1.0)


async def exchange(delays: Delays, work: Callable[[], T], patience: float) -> T:
    """What the server answers; `TimeoutError` when it takes too long, but the work is done all the same."""
    there, back = delays()
    loop = asyncio.get_running_loop()
    reply: asyncio.Future[T] = loop.create_future()

    def arrive() -> None:
        loop.call_later(back, answer, work())

    def answer(result: T) -> None:
        if not reply.done():
            reply.set_result(result)

    loop.call_later(there, arrive)
    async with asyncio.timeout(patience):
        return await reply


async def seconds_until(condition: Callable[[], bool]) -> float:
    """How long it takes until something is so; a minute at the most."""
    loop = asyncio.get_running_loop()
    begin = loop.time()
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)
    return loop.time() - begin
