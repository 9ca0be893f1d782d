"""How the partitions of one process read the stream: a backlog together, what comes after it each by itself.

A consumer of one partition costs the server nearly as much as one of everything, because it takes every message into
its hand to see whose it is: sixteen of them cost three times what one does.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager, suppress

from nats.aio.client import Client

from wepeople_chassis.reader import StreamReader
from wepeople_chassis.stream import Batch
from wepeople_contracts.subjects import partition_filter
from wepeople_projections.folding.position import Position
from wepeople_projections.running.pace import Pace
from wepeople_projections.running.reading_together import Member, ReadingTogether

GATHER_SECONDS = 1.0
JOIN_SECONDS = 0.02
"""Between the loading and the reading of a partition, and more."""


class Feed:
    """One process's. `pull_bytes` are asked of the server at a time by a partition that reads by itself."""

    def __init__(self, connection: Client, pull_bytes: int, pace: Pace) -> None:
        self._connection = connection
        self._pull_bytes = pull_bytes
        self._pace = pace
        self._loading = 0
        self._loaded = asyncio.Event()
        self._together: dict[str, ReadingTogether] = {}

    @contextmanager
    def loading(self) -> Iterator[None]:
        """Within it, a partition is about to read: the others wait for it, for a moment."""
        self._loading += 1
        self._loaded.clear()
        try:
            yield
        finally:
            self._loading -= 1
            if not self._loading:
                self._loaded.set()

    async def batches(
        self, stream: str, partition: int, filter_subject: str, position: Position
    ) -> AsyncGenerator[Batch]:
        """Yield a partition's batches after a position, as `StreamReader.batches` does, and raise what that raises."""
        after = position.sequence
        if filter_subject == partition_filter(partition):
            member = self._join(stream, partition, position)
            try:
                while (batch := await member.take()) is not None:
                    yield batch
            finally:
                await member.leave()
            after = member.through
        reader = StreamReader(
            self._connection,
            stream=stream,
            filter_subject=filter_subject,
            after=after,
            identity=position.stream_identity,
            pull_bytes=self._pull_bytes,
        )
        async with aclosing(reader.batches()) as batches:
            async for batch in batches:
                yield batch

    def _join(self, stream: str, partition: int, position: Position) -> Member:
        together = self._together.get(stream)
        if together is None or not together.is_open:
            together = ReadingTogether(self._connection, stream, self._gathered, self._pace)
            self._together[stream] = together
        return together.join(partition, position)

    async def _gathered(self) -> None:
        """Return once all who are about to read do."""
        with suppress(TimeoutError):
            async with asyncio.timeout(GATHER_SECONDS):
                if self._loading:
                    await self._loaded.wait()
        await asyncio.sleep(JOIN_SECONDS)
