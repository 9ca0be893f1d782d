"""Where the archive is: a folder, or a bucket of object storage; three things can be done there."""

from typing import Protocol

from wepeople_archive.errors import ArchiveError
from wepeople_archive.names import FOUNDED


class Store(Protocol):
    """Named objects. Each call may raise `StorageAway`."""

    async def create(self, name: str, data: bytes) -> bool:
        """Write an object, all of it or nothing, and for certain; False when there is one of the name already."""

    async def read(self, name: str) -> bytes | None:
        """An object's bytes; None when there is none."""

    async def sizes(self, folder: str) -> dict[str, int]:
        """The names below a folder, in order, and how many bytes each has."""


async def refuse_overwriting(store: Store) -> None:
    """`ArchiveError` unless the storage lets nobody write a name twice, on which the whole archive rests."""
    await store.create(FOUNDED, b'{"format": 1}\n')
    if await store.create(FOUNDED, b'{"format": 1}\n'):
        raise ArchiveError(
            "this object storage writes an object again that is there (it ignores `If-None-Match: *`), so two "
            "archivers could harm each other; use one that has conditional writes"
        )
