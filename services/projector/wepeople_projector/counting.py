"""Counts the streams for a proof: up to the positions of the read models, and on to where quota's answer was true."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager

from nats.aio.client import Client
from pydantic import BaseModel

from wepeople_chassis.reader import StreamReader
from wepeople_chassis.rpc import call
from wepeople_chassis.stream import Batch, StreamState
from wepeople_contracts.quota import Usage, UsageQuery
from wepeople_contracts.subjects import STREAM_SUBJECTS, org_filter, partition_of, partition_token, usage_subject
from wepeople_projections.running.checkpoint import last_of
from wepeople_projector.tally import Tally

ATTEMPTS = 5
RETRY_SECONDS = 0.5
USAGE_SECONDS = 2.0

Show = Callable[[StreamState, Batch], None]


class Month(BaseModel):
    """An org's month: what the stream charged it with (`charged`), and what quota says (`used`)."""

    period: str
    charged: int
    used: int

    @property
    def equal(self) -> bool:
        """Whether both say the same."""
        return self.charged == self.used


class Count:
    """A count of all streams that goes on while it is asked; `show` is told of each stream's batches."""

    def __init__(
        self,
        connection: Client,
        tally: Tally,
        batches: Mapping[str, AsyncIterator[Batch]],
        streams: Mapping[int, StreamState],
        show: Show,
    ) -> None:
        self.tally = tally
        self._connection = connection
        self._batches = batches
        self._streams = streams
        self._show = show
        self._positions = dict.fromkeys(batches, 0)

    async def reach(self, stream: StreamState, sequence: int, watched: tuple[str, str] = ("", "")) -> set[int]:
        """Count a stream up to a sequence or a little further; the values that the watched org and month had on the
        way.
        """
        org_id, period = watched
        values = {self._charged(org_id, period)}
        own = frozenset(map(str, stream.partitions))
        while self._positions[stream.name] < sequence:
            batch = await anext(self._batches[stream.name])
            for message in batch.messages:
                if partition_token(message.subject) in own and self.tally.count(message) == org_id:
                    values.add(self._charged(org_id, period))
            self._positions[stream.name] = batch.through
            self._show(stream, batch)
        return values

    async def month(self, org_id: str) -> Month:
        """Compare an org's month with quota's answer.

        Both move on: the answer is right if it was the stream's own count at a moment since it was asked for. Quota may
        be some messages behind, so it is asked again before it is said to be wrong. `Unavailable` when it is away.
        """
        for _ in range(ATTEMPTS):
            usage = await call(
                self._connection, usage_subject(org_id), UsageQuery(org_id=org_id), Usage, timeout_seconds=USAGE_SECONDS
            )
            stream = self._streams[partition_of(org_id)]
            end = await last_of(self._connection, stream.name, org_filter(org_id))
            if usage.used in await self.reach(stream, end, (org_id, usage.period)):
                return Month(period=usage.period, charged=usage.used, used=usage.used)
            await asyncio.sleep(RETRY_SECONDS)
        return Month(period=usage.period, charged=self._charged(org_id, usage.period), used=usage.used)

    def _charged(self, org_id: str, period: str) -> int:
        org = self.tally.orgs.get(org_id)
        return org.months.get(period, 0) if org else 0


@asynccontextmanager
async def counting(
    connection: Client, tally: Tally, streams: Sequence[StreamState], show: Show
) -> AsyncIterator[Count]:
    """Count from each stream's first message to where it ends; `StreamError` when the beginning is gone, `StreamMoved`
    when a stream is split meanwhile.
    """
    async with AsyncExitStack() as stack:
        batches = {}
        for stream in streams:
            reader = StreamReader(
                connection,
                stream=stream.name,
                filter_subject=STREAM_SUBJECTS,
                partitions=stream.partitions,
                after=0,
            )
            batches[stream.name] = await stack.enter_async_context(aclosing(reader.batches()))
        taken = {partition: stream for stream in streams for partition in stream.partitions}
        count = Count(connection, tally, batches, taken, show)
        for stream in streams:
            await count.reach(stream, stream.last_sequence)
        yield count
