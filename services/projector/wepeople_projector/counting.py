"""Counts the stream for a proof: up to the positions of the read models, and on to where quota's answer was true."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager

from nats.aio.client import Client
from pydantic import BaseModel

from wepeople_chassis.reader import StreamReader
from wepeople_chassis.rpc import call
from wepeople_chassis.stream import Batch
from wepeople_contracts.quota import Usage, UsageQuery
from wepeople_contracts.subjects import STREAM_SUBJECTS, STREAMS, org_filter, usage_subject
from wepeople_projections.running.checkpoint import last_of
from wepeople_projector.tally import Tally

ATTEMPTS = 5
RETRY_SECONDS = 0.5
USAGE_SECONDS = 2.0


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
    """A count of the whole stream that goes on while it is asked; `show` is told of each batch."""

    def __init__(
        self, connection: Client, tally: Tally, batches: AsyncIterator[Batch], show: Callable[[Batch], None]
    ) -> None:
        self.tally = tally
        self._connection = connection
        self._batches = batches
        self._show = show
        self._position = 0

    async def reach(self, sequence: int, watched: tuple[str, str] = ("", "")) -> set[int]:
        """Count up to a sequence or a little further; the values that the watched org and month had on the way."""
        org_id, period = watched
        values = {self._charged(org_id, period)}
        while self._position < sequence:
            batch = await anext(self._batches)
            for message in batch.messages:
                if self.tally.count(message) == org_id:
                    values.add(self._charged(org_id, period))
            self._position = batch.through
            self._show(batch)
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
            end = await last_of(self._connection, STREAMS[0], org_filter(org_id))
            if usage.used in await self.reach(end, (org_id, usage.period)):
                return Month(period=usage.period, charged=usage.used, used=usage.used)
            await asyncio.sleep(RETRY_SECONDS)
        return Month(period=usage.period, charged=self._charged(org_id, usage.period), used=usage.used)

    def _charged(self, org_id: str, period: str) -> int:
        org = self.tally.orgs.get(org_id)
        return org.months.get(period, 0) if org else 0


@asynccontextmanager
async def counting(connection: Client, tally: Tally, end: int, show: Callable[[Batch], None]) -> AsyncIterator[Count]:
    """Count from the stream's first message to `end`; `StreamError` when the beginning is gone."""
    reader = StreamReader(connection, stream=STREAMS[0], filter_subject=STREAM_SUBJECTS, after=0)
    async with aclosing(reader.batches()) as batches:
        count = Count(connection, tally, batches, show)
        await count.reach(end)
        yield count
