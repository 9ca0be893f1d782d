"""A replay that begins before the stream does: the archive's messages, as the stream gave them."""

from collections import deque
from collections.abc import AsyncGenerator, Collection, Iterator

from wepeople_archive.archive import Archive
from wepeople_archive.errors import ArchiveError
from wepeople_archive.names import Shelf
from wepeople_archive.opening import open_archive
from wepeople_chassis.archive_settings import archive_settings
from wepeople_chassis.history import History
from wepeople_chassis.stream import Batch, StoredMessage

BATCH_MESSAGES = 512
BATCH_BYTES = 4 * 1024 * 1024
MORE = 1
"""Of a batch from the archive it is not known how many messages are left; the stream's are, for certain."""


def history_of_environment() -> History | None:
    """The archive that `WEPEOPLE_ARCHIVE_URL` names; None when it names none."""
    settings = archive_settings()
    return ArchivedHistory(open_archive(settings)) if settings.archive_url else None


class ArchivedHistory:
    """Several partitions' messages in the stream's order."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    async def batches(
        self, *, identity: str, partitions: Collection[int], filter_subject: str, after: int, before: int
    ) -> AsyncGenerator[Batch]:
        """Yield all that matches after a sequence and before another, from which on the stream has it itself.

        `ArchiveError` unless it is proved that all of it is here.
        """
        matches = _matcher(filter_subject)
        sources = []
        for partition in sorted(partitions):
            parts = self._parts(Shelf(identity, partition), after, before)
            sources.append(_Source(parts))
        try:
            while waiting := [source for source in sources if await source.has_some()]:
                through = min(source.through for source in waiting)
                taken = [m for source in waiting for m in source.take(through) if matches(m.subject)]
                taken.sort(key=lambda message: message.sequence)
                for part in _cut(taken):
                    yield Batch(part, part[-1].sequence, MORE)
                yield Batch([], through, MORE)
        finally:
            for source in sources:
                await source.close()
        yield Batch([], before - 1, MORE)

    async def _parts(self, shelf: Shelf, after: int, before: int) -> AsyncGenerator[list[StoredMessage]]:
        """A partition's messages between, some at a time."""
        last = await self._proved_through(shelf, after, before)
        files = list((await self._archive.listing(shelf)).files)
        begin = max((start for start in files if start <= after), default=None)
        reached = after if begin is None else begin
        for start in files:
            if start < reached:
                continue
            if start != reached or start >= before:
                break
            file = await self._archive.file(shelf, start)
            reached = file.contents.through
            for part in file.parts():
                messages = [message for message in part if after < message.sequence < before]
                if messages:
                    yield messages
        if reached < last:
            raise ArchiveError(
                f"the archive of partition {shelf.partition} ends after {reached}, where it once went on to {last}: "
                "files were taken away; bring them back from a copy of the archive"
            )

    async def _proved_through(self, shelf: Shelf, after: int, before: int) -> int:
        """The last sequence of what the archive is known to have of the partition before another."""
        marks = [mark for mark in await self._archive.trims(shelf) if mark >= before]
        if not marks:
            raise ArchiveError(
                f"the stream begins at {before}, and the archive does not say that it has all that partition "
                f"{shelf.partition} had before: the messages were not purged by `wepeople archive trim`, or "
                "WEPEOPLE_ARCHIVE_URL names another archive"
            )
        mark = await self._archive.trimmed(shelf, min(marks))
        if mark.after > after:
            raise ArchiveError(
                f"the archive of partition {shelf.partition} begins after {mark.after}, but {after + 1} comes next: "
                "when it was begun, the stream no longer had what was before"
            )
        return mark.last


class _Source:
    """What is left of one partition."""

    def __init__(self, parts: AsyncGenerator[list[StoredMessage]]) -> None:
        self._parts = parts
        self._waiting: deque[StoredMessage] = deque()

    @property
    def through(self) -> int:
        """Nothing of the partition up to here is missing from what waits."""
        return self._waiting[-1].sequence

    async def has_some(self) -> bool:
        """Whether anything is left."""
        if not self._waiting:
            self._waiting.extend(await anext(self._parts, []))
        return bool(self._waiting)

    def take(self, through: int) -> Iterator[StoredMessage]:
        """What comes up to a sequence."""
        while self._waiting and self._waiting[0].sequence <= through:
            yield self._waiting.popleft()

    async def close(self) -> None:
        """Read no more."""
        await self._parts.aclose()


def _cut(messages: list[StoredMessage]) -> Iterator[list[StoredMessage]]:
    """Batches of the size that the stream gives."""
    part: list[StoredMessage] = []
    size = 0
    for message in messages:
        if part and (len(part) >= BATCH_MESSAGES or size + len(message.data) > BATCH_BYTES):
            yield part
            part, size = [], 0
        part.append(message)
        size += len(message.data)
    if part:
        yield part


class _matcher:
    """Whether a subject is one of a filter's, token by token."""

    def __init__(self, filter_subject: str) -> None:
        self._tokens = filter_subject.split(".")

    def __call__(self, subject: str) -> bool:
        tokens = subject.split(".")
        return len(tokens) == len(self._tokens) and all(
            wanted in ("*", token) for wanted, token in zip(self._tokens, tokens, strict=True)
        )
