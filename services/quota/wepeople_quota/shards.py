"""A shard for each stream, as the streams come and are split."""

import asyncio
import time
from collections.abc import Callable, Sequence

from nats.aio.client import Client

from wepeople_chassis.broker import BROKER_DOWN
from wepeople_chassis.logging import get_logger
from wepeople_chassis.stream import StreamError, StreamState, stream_states
from wepeople_chassis.tasks import end
from wepeople_contracts.subjects import PARTITIONS
from wepeople_quota.shard import Shard

log = get_logger(__name__)

LOOK_SECONDS = 1.0


async def settled_states(connection: Client) -> list[StreamState]:
    """All streams; `TimeoutError` while they do not take each partition once. In the midst of a split nobody can tell
    whether what a stream does not take has left it: a split that cannot be ended is undone.
    """
    states = await stream_states(connection)
    taken = sorted(partition for state in states for partition in state.partitions)
    if taken != list(range(PARTITIONS)):
        raise TimeoutError(f"a split is under way or was broken off: of the partitions, {taken} are taken")
    return states


async def settled_state(connection: Client, name: str) -> StreamState:
    """One of them; `StreamError` if it is not there."""
    for state in await settled_states(connection):
        if state.name == name:
            return state
    raise StreamError(f"the stream {name} is gone; restore it, then start quota again")


class Shards:
    """Makes them with `make`, by the names of their streams in `by_stream`, which others may look at."""

    def __init__(self, connection: Client, make: Callable[[StreamState], Shard], by_stream: dict[str, Shard]) -> None:
        self._connection = connection
        self._make = make
        self._by_stream = by_stream
        self._lives: list[asyncio.Task[None]] = []

    def settle(self, states: Sequence[StreamState], *, asked_at_ns: int) -> None:
        """A shard for each stream that there is now, with the partitions that it has now."""
        if gone := self._by_stream.keys() - {state.name for state in states}:
            raise StreamError(f"the stream {', '.join(sorted(gone))} is gone; restore it, then start quota again")
        for state in states:
            shard = self._by_stream.get(state.name)
            if shard is None:
                shard = self._by_stream[state.name] = self._make(state)
                self._lives.append(asyncio.create_task(shard.live(state)))
            else:
                shard.fold.settle(state)
            shard.fold.ends(state, asked_at_ns=asked_at_ns)

    async def live(self) -> None:
        """Watch the streams for ever; raises what ends a shard."""
        while True:
            done, _ = await asyncio.wait(self._lives, timeout=LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            for life in done:
                life.result()
            asked_at_ns = time.time_ns()
            try:
                states = await settled_states(self._connection)
            except BROKER_DOWN as error:
                log.warning("streams_out_of_sight", error=repr(error))
                continue
            self.settle(states, asked_at_ns=asked_at_ns)

    async def somebody_answers(self) -> None:
        """Return once each stream has an owner, be it another process."""
        await asyncio.gather(*(shard.lease.somebody_answers.wait() for shard in self._by_stream.values()))

    async def leave(self) -> None:
        """Hand all over, and save."""
        await asyncio.gather(*(shard.leave() for shard in self._by_stream.values()))

    async def end(self) -> None:
        """End them all."""
        await end(self._lives)
