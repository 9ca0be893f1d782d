"""Reading the archive back: against the stream, as far as that reaches, and before that against what was noted."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime

from nats.aio.client import Client

from wepeople_archive.archive import Archive
from wepeople_archive.errors import ArchiveError, Damaged
from wepeople_archive.file import MessageFile
from wepeople_archive.names import Shelf
from wepeople_archiver.comparing import difference
from wepeople_chassis.reader import StreamReader
from wepeople_chassis.stream import StoredMessage, StreamState
from wepeople_contracts.subjects import partition_filter


@dataclass(slots=True)
class Verdict:
    """Of one partition: how many files and messages were compared with the stream, and with what was noted of them when
    the stream still had them; and what is wrong.
    """

    partition: int
    files: int = 0
    with_stream: int = 0
    with_notes: int = 0
    wrong: str | None = None


async def verify(
    connection: Client, archive: Archive, stream: StreamState, partition: int, *, everything: bool
) -> Verdict:
    """Compare what the stream still has of a partition, and `everything` before that too; the first fault ends it.

    What is compared with the stream for the first time is noted as verified.
    """
    verdict = Verdict(partition)
    shelf = Shelf(stream.identity, partition)
    listing = await archive.listing(shelf)
    stored = _Stored(connection, stream, partition)
    reached: int | None = None
    try:
        for start in listing.files:
            if reached is not None and start != reached:
                raise ArchiveError(f"the files have a gap: one ends with {reached}, the next begins after {start}")
            is_there = start + 1 >= stream.first_sequence
            if start in listing.verified and not is_there:
                mark = await archive.verified(shelf, start)
                reached = mark.through
                if not everything:
                    continue
                file = await archive.file(shelf, start)
                if (file.file_sha256, file.contents.sha256) != (mark.file_sha256, mark.sha256):
                    raise Damaged(shelf.name("messages", start), "it is not the file that was verified")
                verdict.with_notes += file.contents.messages
            else:
                file = await archive.file(shelf, start)
                reached = file.contents.through
                await _compare(stored, file)
                await archive.note_verified(shelf, file, datetime.now(UTC).isoformat())
                verdict.with_stream += file.contents.messages
            verdict.files += 1
    except ArchiveError as error:
        verdict.wrong = str(error)
    finally:
        await stored.close()
    return verdict


async def _compare(stored: "_Stored", file: MessageFile) -> None:
    messages = await stored.between(file.contents.after, file.contents.through)
    if (wrong := difference(messages, file)) is not None:
        raise ArchiveError(f"the file after {file.contents.after} is not what the stream has: {wrong}")


class _Stored:
    """A partition's messages in the stream, read once, onwards."""

    def __init__(self, connection: Client, stream: StreamState, partition: int) -> None:
        self._connection = connection
        self._stream = stream
        self._partition = partition
        self._messages: AsyncIterator[StoredMessage] | None = None
        self._next: StoredMessage | None = None

    async def between(self, after: int, through: int) -> list[StoredMessage]:
        """All after a sequence and up to another, which is above all that was asked for before."""
        if self._messages is None:
            self._messages = self._read(after)
        found = []
        while (message := await self._peek()) is not None and message.sequence <= through:
            found.append(message)
            self._next = None
        return found

    async def _peek(self) -> StoredMessage | None:
        if self._next is None and self._messages is not None:
            self._next = await anext(self._messages, None)
        return self._next

    async def _read(self, after: int) -> AsyncIterator[StoredMessage]:
        """To the end that the stream had when it was looked at."""
        reader = StreamReader(
            self._connection,
            stream=self._stream.name,
            filter_subject=partition_filter(self._partition),
            after=after,
            identity=self._stream.identity,
        )
        async with aclosing(reader.batches()) as batches:
            async for batch in batches:
                for message in batch.messages:
                    yield message
                if batch.through >= self._stream.last_sequence:
                    return

    async def close(self) -> None:
        """Read no more."""
        if self._messages is not None:
            await self._messages.aclose()  # type: ignore[attr-defined]
