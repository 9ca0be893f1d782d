"""One stream into the archive: read, gather, write, read back, compare.

Everything is repeatable: what was written before a crash is found again and compared, and of two archivers one writes
and the other compares. A file is verified only by somebody who has its messages from the stream.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

from nats.aio.client import Client

from wepeople_archive.archive import Archive
from wepeople_archive.errors import ArchiveError, StorageAway
from wepeople_archive.file import MessageFile, write_file
from wepeople_archive.names import Shelf
from wepeople_archiver.comparing import difference
from wepeople_archiver.events import write_events
from wepeople_archiver.gathering import Gathered, Limits, due
from wepeople_archiver.metrics import ARCHIVED_BYTES, ARCHIVED_MESSAGES, FILES, STORAGE_FAILURES
from wepeople_archiver.places import next_of
from wepeople_chassis.logging import get_logger
from wepeople_chassis.reader import StreamReader
from wepeople_chassis.stream import Batch, StreamState
from wepeople_contracts.subjects import STREAM_SUBJECTS, partition_token

log = get_logger(__name__)

AGAIN_SECONDS = 2.0

T = TypeVar("T")


class StreamArchiver:
    """Of one stream, for as long as it takes these partitions. `pending` messages were left in it when last read."""

    def __init__(self, connection: Client, archive: Archive, stream: StreamState, limits: Limits) -> None:
        self.pending = stream.messages
        self._connection = connection
        self._archive = archive
        self._stream = stream
        self._limits = limits
        self._partitions: dict[int, Gathered] = {}

    @property
    def waiting(self) -> list[Gathered]:
        """What is in no file yet."""
        return list(self._partitions.values())

    async def run(self) -> None:
        """Archive until cancelled. `StreamMoved` when a partition is another stream's by now; `StreamError` when the
        stream or the archive cannot be read on.
        """
        for partition in sorted(self._stream.partitions):
            self._partitions[partition] = await patiently(partial(self._load, partition))
        after = await self._begin()
        log.info("archives", stream=self._stream.name, after=after, until=self._stream.last_sequence)
        async with aclosing(self._read(after)) as batches:
            async for batch in batches:
                now = time.monotonic()
                for message in batch.messages:
                    gathered = self._partitions.get(int(partition_token(message.subject)))
                    if gathered is not None:
                        gathered.add(message, now)
                self.pending = batch.pending
                for partition in due(self._partitions, self._limits, now):
                    await self._bring_in(partition)

    def _read(self, after: int) -> AsyncGenerator[Batch]:
        return StreamReader(
            self._connection,
            stream=self._stream.name,
            filter_subject=STREAM_SUBJECTS,
            partitions=self._stream.partitions,
            after=after,
            identity=self._stream.identity,
        ).batches()

    def _shelf(self, partition: int) -> Shelf:
        return Shelf(self._stream.identity, partition)

    async def _load(self, partition: int) -> Gathered:
        """Where a partition's archive ends for certain."""
        shelf, first = self._shelf(partition), self._stream.first_sequence
        listing = await self._archive.listing(shelf)
        end = await self._archive.verified_through(shelf, listing, first - 1)
        if end is None:
            # Where the first file begins, if somebody wrote one and nobody compared it yet.
            begun = [start for start in listing.files if start < max(first, 1)]
            end = max(begun) if begun else await self._archive.begin_of(shelf, first)
        if first > end + 1 and max(await self._archive.trims(shelf), default=0) < first:
            raise ArchiveError(
                f"partition {partition} is archived up to {end}, and its stream begins at {first}: what was between "
                "was purged before it was archived. This archive stays as it is; give a new one by "
                "WEPEOPLE_ARCHIVE_URL, which then begins where the stream does"
            )
        expected = await self._archive.file(shelf, end) if end in listing.files else None
        return Gathered(end, expected=expected, later=tuple(start for start in listing.files if start > end))

    async def _begin(self) -> int:
        """After which sequence to read: before the first message that some partition misses."""
        found = [
            await next_of(self._connection, self._stream.name, partition, gathered.after)
            for partition, gathered in self._partitions.items()
        ]
        return min((sequence for sequence in found if sequence is not None), default=self._stream.last_sequence + 1) - 1

    async def _bring_in(self, partition: int) -> None:
        """Write a partition's next file, if it is not there, and verify it."""
        gathered, shelf = self._partitions[partition], self._shelf(partition)
        if gathered.expected is None:
            gathered.expected = await patiently(lambda: self._write(shelf, gathered))
        file = gathered.expected
        if not gathered.reaches(file):
            # Somebody else wrote more than we have read so far; what comes is compared with it.
            return
        messages = gathered.within(file)
        if (wrong := difference(messages, file)) is not None:
            raise ArchiveError(
                f"{shelf.name('messages', gathered.after)} does not hold what the stream {self._stream.name} has: "
                f"{wrong}. Nothing of this is trimmed; find out which of the two is right"
            )
        events = await asyncio.to_thread(write_events, messages)
        await patiently(lambda: self._archive.store.create(shelf.name("events", gathered.after), events))
        await patiently(lambda: self._archive.note_verified(shelf, file, datetime.now(UTC).isoformat()))
        FILES.inc()
        ARCHIVED_MESSAGES.inc(len(messages))
        ARCHIVED_BYTES.inc(file.size)
        log.info("file_verified", partition=partition, after=gathered.after, through=file.contents.through)
        gathered.settle(file, time.monotonic())
        if gathered.after in gathered.later:
            gathered.expected = await patiently(lambda: self._archive.file(shelf, gathered.after))

    async def _write(self, shelf: Shelf, gathered: Gathered) -> MessageFile:
        """Write what is gathered, unless somebody has written the file; it is read back either way."""
        messages = gathered.up_to_the_next_file()
        _, data = await asyncio.to_thread(write_file, shelf.history, shelf.partition, gathered.after, messages)
        await self._archive.store.create(shelf.name("messages", gathered.after), data)
        return await self._archive.file(shelf, gathered.after)


async def patiently(work: Callable[[], Awaitable[T]]) -> T:
    """Repeat until the storage answers."""
    while True:
        try:
            return await work()
        except StorageAway as error:
            STORAGE_FAILURES.inc()
            log.warning("storage_away", error=str(error))
        await asyncio.sleep(AGAIN_SECONDS)
