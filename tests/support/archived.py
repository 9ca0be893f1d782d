"""Messages as the stream gives them, and archives in memory that can be broken."""

from collections.abc import Sequence

from hypothesis import strategies as st

from wepeople_archive.archive import Archive
from wepeople_archive.errors import StorageAway
from wepeople_archive.file import write_file
from wepeople_archive.names import Shelf
from wepeople_chassis.stream import StoredMessage

HISTORY = "2026-11-24T15:33:14.123456789Z"


class Memory:
    """A store in memory. It goes away, before (`before`) or after (`after`) it has written, at the write of that
    number, counted from 1.
    """

    def __init__(self, *, before: int = 0, after: int = 0) -> None:
        self.objects: dict[str, bytes] = {}
        self.writes = 0
        self._before = before
        self._after = after

    async def create(self, name: str, data: bytes) -> bool:
        self.writes += 1
        if self.writes == self._before:
            raise StorageAway("before")
        if name in self.objects:
            return False
        self.objects[name] = data
        if self.writes == self._after:
            raise StorageAway("after")
        return True

    async def read(self, name: str) -> bytes | None:
        return self.objects.get(name)

    async def sizes(self, folder: str) -> dict[str, int]:
        return {name: len(data) for name, data in sorted(self.objects.items()) if name.startswith(f"{folder}/")}


def message(sequence: int, *, partition: int = 3, data: bytes = b"data", org: str = "org_a") -> StoredMessage:
    return StoredMessage(
        sequence=sequence,
        subject=f"ingest.{partition}.{org}.app_a.events",
        message_id=f"id-{sequence}",
        stored_at_ns=1_790_000_000_000_000_000 + sequence,
        data=data,
        traceparent=None if sequence % 2 else f"00-{sequence:032x}-{sequence:016x}-01",
    )


def histories(*, most: int = 40) -> st.SearchStrategy[list[StoredMessage]]:
    """One partition's messages, with the gaps that other partitions' leave."""
    gaps = st.lists(st.tuples(st.integers(1, 9), st.binary(max_size=60)), min_size=1, max_size=most)

    def as_messages(drawn: list[tuple[int, bytes]]) -> list[StoredMessage]:
        sequence, found = 0, []
        for gap, data in drawn:
            sequence += gap
            found.append(message(sequence, data=data))
        return found

    return gaps.map(as_messages)


async def put(archive: Archive, shelf: Shelf, after: int, messages: Sequence[StoredMessage]) -> int:
    """Write and verify a file; the sequence with which it ends."""
    contents, data = write_file(shelf.history, shelf.partition, after, messages)
    await archive.store.create(shelf.name("messages", after), data)
    await archive.note_verified(shelf, await archive.file(shelf, after), "now")
    return contents.through
