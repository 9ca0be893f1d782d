"""The archive as a whole: which files there are of a partition, what was verified of them, and what left the stream."""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import TypeVar

import msgspec

from wepeople_archive.errors import ArchiveError, Damaged
from wepeople_archive.file import MessageFile, read_file
from wepeople_archive.names import Kind, Shelf, number_of
from wepeople_archive.store import Store

M = TypeVar("M", bound=msgspec.Struct)


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """A file was read back and compared with the stream. `file_sha256` is of its bytes, `sha256` of its messages."""

    after: int
    through: int
    messages: int
    bytes: int
    sha256: str
    file_bytes: int
    file_sha256: str
    verified_at: str


class Trimmed(msgspec.Struct, frozen=True, kw_only=True):
    """What the partition has after `after` and before `before` is in the archive, verified; the last of it is `last`.
    The stream need not have it any more.
    """

    stream: str
    after: int
    last: int
    before: int
    trimmed_at: str


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of a partition, by the sequence after which each begins, in order, with their sizes in bytes; and which
    of them are verified.
    """

    files: dict[int, int]
    verified: frozenset[int]

    @property
    def verified_first(self) -> list[int]:
        """The files before the first that is not verified."""
        return list(takewhile(self.verified.__contains__, self.files))


class Archive:
    """Reads and adds. Errors are `ArchiveError`, and `StorageAway` while the storage does not answer."""

    def __init__(self, store: Store) -> None:
        self.store = store

    async def listing(self, shelf: Shelf) -> Listing:
        """What there is of a partition."""
        files = await self._numbers(shelf, "messages")
        return Listing(files, frozenset(await self._numbers(shelf, "verified")))

    async def file(self, shelf: Shelf, after: int) -> MessageFile:
        """The file that begins after a sequence, found whole."""
        name = shelf.name("messages", after)
        data = await self.store.read(name)
        if data is None:
            raise ArchiveError(f"the archive has no file {name}, which its neighbours ask for")
        # Before it is taken apart: at some damages the library ends the process.
        if (noted := await self.store.read(shelf.name("verified", after))) is not None:
            mark = _decoded(shelf.name("verified", after), noted, Verified)
            if hashlib.sha256(data).hexdigest() != mark.file_sha256:
                raise Damaged(name, "it is not the file that was verified")
        file = await asyncio.to_thread(read_file, name, data)
        found = file.contents
        if (found.history, found.partition, found.after) != (shelf.history, shelf.partition, after):
            raise Damaged(name, f"it is one of partition {found.partition} after {found.after} of {found.history}")
        return file

    async def end_of(self, shelf: Shelf, files: Sequence[int]) -> int | None:
        """The last sequence that files in order hold; None when there are none."""
        return (await self.file(shelf, files[-1])).contents.through if files else None

    async def verified_through(self, shelf: Shelf, listing: Listing, since: int) -> int | None:
        """The last sequence up to which verified files follow on each other, from the one that begins at or before a
        sequence on; None when none does.
        """
        files = listing.verified_first
        begin = max((start for start in files if start <= since), default=None)
        reached = begin
        for start in files:
            if reached is None or start > reached:
                break
            if begin is not None and start >= begin:
                reached = (await self.verified(shelf, start)).through
        return reached

    async def verified(self, shelf: Shelf, after: int) -> Verified:
        """What was verified of a file of which the listing says that it was."""
        return await self._read(shelf.name("verified", after), Verified)

    async def note_verified(self, shelf: Shelf, file: MessageFile, now: str) -> None:
        """A file was compared with the stream."""
        found = file.contents
        mark = Verified(
            after=found.after,
            through=found.through,
            messages=found.messages,
            bytes=found.bytes,
            sha256=found.sha256,
            file_bytes=file.size,
            file_sha256=file.file_sha256,
            verified_at=now,
        )
        await self.store.create(shelf.name("verified", found.after), msgspec.json.encode(mark))

    async def trims(self, shelf: Shelf) -> list[int]:
        """Before which sequences messages may have left the stream, in order."""
        return list(await self._numbers(shelf, "trimmed"))

    async def trimmed(self, shelf: Shelf, before: int) -> Trimmed:
        """What was noted of one of `trims`."""
        return await self._read(shelf.name("trimmed", before), Trimmed)

    async def note_trimmed(self, shelf: Shelf, mark: Trimmed) -> None:
        """Messages are about to leave the stream."""
        await self.store.create(shelf.name("trimmed", mark.before), msgspec.json.encode(mark))

    async def begin_of(self, shelf: Shelf, first_sequence: int) -> int:
        """After which sequence the archive of a partition begins that has no file yet, while the stream begins at a
        sequence.
        """
        trims = await self.trims(shelf)
        return (await self.trimmed(shelf, trims[-1])).after if trims else max(first_sequence - 1, 0)

    async def _numbers(self, shelf: Shelf, kind: Kind) -> dict[int, int]:
        sizes = await self.store.sizes(shelf.folder(kind))
        return {number: size for name, size in sizes.items() if (number := number_of(name)) is not None}

    async def _read(self, name: str, kind: type[M]) -> M:
        return _decoded(name, await self.store.read(name) or b"", kind)


def _decoded(name: str, data: bytes, kind: type[M]) -> M:
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.DecodeError:
        raise Damaged(name, "it does not say what it should") from None
