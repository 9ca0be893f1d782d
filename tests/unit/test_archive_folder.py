"""An archive in a folder: whole files alone, and none twice."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from wepeople_archive.errors import StorageAway
from wepeople_archive.folder import Folder


async def test_what_was_written_is_read_and_listed_with_its_size(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "new")
    assert await folder.create("messages/p=1/2.parquet", b"two")
    assert await folder.create("messages/p=1/1.parquet", b"one!")
    assert await folder.read("messages/p=1/1.parquet") == b"one!"
    assert await folder.read("messages/p=1/3.parquet") is None
    assert await folder.sizes("messages/p=1") == {"messages/p=1/1.parquet": 4, "messages/p=1/2.parquet": 3}
    assert await folder.sizes("messages/p=2") == {}


async def test_a_disk_that_is_not_there_is_no_empty_archive(tmp_path: Path) -> None:
    with pytest.raises(StorageAway, match="there is no folder"):
        await Folder(tmp_path / "unmounted").sizes("messages")


async def test_a_name_is_written_once(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    assert await folder.create("name", b"first")
    assert not await folder.create("name", b"second")
    assert await folder.read("name") == b"first"


def test_of_many_who_write_a_name_one_does(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    with ThreadPoolExecutor(8) as threads:
        written = list(threads.map(lambda n: folder._create(tmp_path / "name", bytes([n]) * 1000), range(40)))
    assert sum(written) == 1
    assert (tmp_path / "name").read_bytes() == bytes([written.index(True)]) * 1000


async def test_what_could_not_be_finished_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StorageAway, match="no space left"):
        await Folder(tmp_path).create("name", b"half")
    assert list(tmp_path.iterdir()) == []
