"""An archive in a folder of this machine, or of a network's disk."""

import asyncio
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from wepeople_archive.errors import StorageAway

_HIDDEN = "."

T = TypeVar("T")


class Folder:
    """Objects are files. A name appears once the file is whole and on the disk: it is linked there, never written."""

    def __init__(self, root: Path) -> None:
        self._root = root

    async def create(self, name: str, data: bytes) -> bool:
        """See `Store.create`."""
        return await _done(lambda: self._create(self._root / name, data))

    async def read(self, name: str) -> bytes | None:
        """See `Store.read`."""
        return await _done(lambda: _read(self._root / name))

    async def sizes(self, folder: str) -> dict[str, int]:
        """See `Store.sizes`."""
        return await _done(lambda: self._sizes(self._root / folder))

    def _create(self, file: Path, data: bytes) -> bool:
        _make_folders(file.parent)
        unfinished = file.parent / f"{_HIDDEN}{file.name}.{secrets.token_hex(8)}"
        try:
            with unfinished.open("xb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            try:
                os.link(unfinished, file)
            except FileExistsError:
                return False
            _sync(file.parent)
            return True
        finally:
            unfinished.unlink(missing_ok=True)

    def _sizes(self, folder: Path) -> dict[str, int]:
        if not self._root.is_dir():
            # A disk that is not mounted is no empty archive.
            raise FileNotFoundError(f"there is no folder {self._root}")
        files = (file for file in sorted(folder.rglob("*")) if not file.name.startswith(_HIDDEN) and file.is_file())
        return {str(file.relative_to(self._root)): file.stat().st_size for file in files}


async def _done(work: Callable[[], T]) -> T:
    """Do it beside the loop; `StorageAway` for whatever the disk says."""
    try:
        return await asyncio.to_thread(work)
    except OSError as error:
        raise StorageAway(str(error)) from None


def _read(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return None


def _make_folders(folder: Path) -> None:
    """Each new one is on the disk, and so is that it is in the one above."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    for one in reversed(missing):
        one.mkdir(exist_ok=True)
        _sync(one.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
