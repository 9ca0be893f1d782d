"""The archiver beside a real stream: every message in one verified file, whatever ends it and whoever else writes."""

import asyncio
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from nats.aio.client import Client
from nats.js.client import JetStreamContext

from tests.support.archived import Memory
from tests.support.archiving import all_archived, archived_messages, archiver, archives, planned
from tests.support.lone_stream import Server, eventually, read, reader_of, store
from wepeople_archive.archive import Archive
from wepeople_archive.errors import ArchiveError
from wepeople_archive.file import write_file
from wepeople_archive.folder import Folder
from wepeople_archive.names import Shelf
from wepeople_archive.store import refuse_overwriting
from wepeople_archiver.gathering import Limits
from wepeople_archiver.verifying import verify
from wepeople_chassis.stream import StoredMessage, state_of
from wepeople_contracts.subjects import STREAMS, partition_token


async def stored(connection: Client, count: int) -> list[StoredMessage]:
    """All messages of the stream."""
    messages, _ = await read(reader_of(connection, after=0), lambda found, _: len(found) >= count)
    return messages


async def store_some(stream: JetStreamContext, count: int = 200) -> None:
    """Messages of three partitions, mixed."""
    for first in range(0, count, 20):
        for partition in (3, 4, 12):
            await store(stream, 20, partition=partition, first=first)


async def test_every_message_is_archived_as_it_is_in_the_stream(
    connection: Client, stream: JetStreamContext, tmp_path: Path
) -> None:
    await store_some(stream)
    (tmp_path / "archive").mkdir()
    folder = Folder(tmp_path / "archive")
    async with archives(connection, folder):
        found = await all_archived(connection, folder, 600)
        await store_some(stream, 40)
        assert await all_archived(connection, folder, 720) == await stored(connection, 720)
    assert len(found) == 600


async def test_what_an_archiver_has_read_is_not_read_again_by_the_next(
    connection: Client, stream: JetStreamContext
) -> None:
    await store_some(stream)
    memory = Memory()
    async with archives(connection, memory):
        await all_archived(connection, memory, 600)
    written = dict(memory.objects)
    await store(stream, 1, partition=4)
    async with archives(connection, memory) as again:
        await all_archived(connection, memory, 601)
        assert again.pending == 0
    assert {name: memory.objects[name] for name in written} == written


class Crash(Exception):
    """The process is gone."""


class Crashing(Memory):
    """A store whose user is gone at a write: before the object is there, or just after."""

    def __init__(self, objects: dict[str, bytes], at: int, *, written: bool) -> None:
        super().__init__()
        self.objects = objects
        self._at = at
        self._written = written

    async def create(self, name: str, data: bytes) -> bool:
        if self.writes + 1 == self._at and not self._written:
            raise Crash
        created = await super().create(name, data)
        if self.writes == self._at:
            raise Crash
        return created


@pytest.mark.parametrize("written", [False, True])
async def test_a_crash_at_any_write_leaves_nothing_half_done(
    connection: Client, stream: JetStreamContext, *, written: bool
) -> None:
    await store_some(stream, 60)
    wanted = await stored(connection, 180)
    for at in range(1, 10):
        objects: dict[str, bytes] = {}
        with pytest.raises(Crash):
            async with asyncio.timeout(10):
                await (await archiver(connection, Crashing(objects, at, written=written))).run()
        survivor = Memory()
        survivor.objects = objects
        async with archives(connection, survivor):
            assert await all_archived(connection, survivor, 180) == wanted
        events = [name.replace("events", "messages") for name in objects if name.startswith("events")]
        assert sorted(events) == sorted(name for name in objects if name.startswith("messages"))


async def test_archivers_beside_each_other_write_each_message_once(
    connection: Client, stream: JetStreamContext
) -> None:
    memory = Memory()
    other = Limits(file_bytes=900, file_messages=7, file_seconds=0.1, waiting_bytes=100_000)
    async with archives(connection, memory), archives(connection, memory, other), archives(connection, memory):
        await store_some(stream)
        assert await all_archived(connection, memory, 600) == await stored(connection, 600)


async def test_the_server_may_go_away_and_come_back(
    connection: Client, stream: JetStreamContext, server: Server
) -> None:
    memory = Memory()
    async with archives(connection, memory):
        await store_some(stream, 100)
        server.kill()
        server.start()
        await eventually(lambda: connection.jetstream().publish("ingest.3.org.app.events", b"first again"))
        await store_some(stream, 100)
        assert await all_archived(connection, memory, 601) == await stored(connection, 601)


async def test_the_storage_may_go_away_and_come_back(
    connection: Client, stream: JetStreamContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wepeople_archiver.archiving.AGAIN_SECONDS", 0.05)
    memory = Memory(before=2, after=5)
    await store_some(stream, 60)
    async with archives(connection, memory):
        assert await all_archived(connection, memory, 180) == await stored(connection, 180)


async def test_messages_that_were_purged_before_they_were_archived_stop_it(
    connection: Client, stream: JetStreamContext
) -> None:
    await store_some(stream, 40)
    memory = Memory()
    async with archives(connection, memory):
        await all_archived(connection, memory, 120)
    await store_some(stream, 40)
    await stream.purge_stream(STREAMS[0], seq=200)
    with pytest.raises(ArchiveError, match="purged before it was archived"):
        await (await archiver(connection, memory)).run()


async def test_a_new_archive_begins_where_the_stream_does(connection: Client, stream: JetStreamContext) -> None:
    await store_some(stream, 40)
    await stream.purge_stream(STREAMS[0], seq=61)
    memory = Memory()
    async with archives(connection, memory):
        found = await all_archived(connection, memory, 60)
    assert found[0].sequence == 61


async def test_a_file_that_is_not_what_the_stream_has_stops_it(connection: Client, stream: JetStreamContext) -> None:
    await store_some(stream, 40)
    memory = Memory()
    async with archives(connection, memory):
        await all_archived(connection, memory, 120)
    shelf = Shelf((await state_of(connection, STREAMS[0])).identity, 3)
    archive = Archive(memory)
    first = min((await archive.listing(shelf)).files)
    del memory.objects[shelf.name("verified", first)]
    messages = [one for part in (await archive.file(shelf, first)).parts() for one in part]
    messages[0] = replace(messages[0], data=b"forged")
    memory.objects[shelf.name("messages", first)] = write_file(shelf.history, 3, first, messages)[1]
    with pytest.raises(ArchiveError, match="message 1 is another one in the file"):
        async with asyncio.timeout(10):
            await (await archiver(connection, memory)).run()


async def test_verify_names_the_damaged_file_and_passes_the_others(
    connection: Client, stream: JetStreamContext, tmp_path: Path
) -> None:
    await store_some(stream)
    folder = Folder(tmp_path)
    async with archives(connection, folder):
        await all_archived(connection, folder, 600)
    state = await state_of(connection, STREAMS[0])
    archive = Archive(folder)
    name = Shelf(state.identity, 4).name(
        "messages", next(iter((await archive.listing(Shelf(state.identity, 4))).files))
    )
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[:100] + b"\0\0\0\0" + whole[104:])
    verdicts = {n: await verify(connection, archive, state, n, everything=False) for n in (3, 4)}
    assert (verdicts[3].wrong, verdicts[3].with_stream) == (None, 200)
    assert verdicts[4].wrong is not None
    assert name in verdicts[4].wrong


async def test_storage_that_overwrites_is_refused() -> None:
    class Forgetful(Memory):
        async def create(self, name: str, data: bytes) -> bool:
            self.objects[name] = data
            return True

    await refuse_overwriting(Memory())
    with pytest.raises(ArchiveError, match="conditional writes"):
        await refuse_overwriting(Forgetful())


async def test_a_file_that_was_taken_away_is_missed_by_trimming_and_written_again(
    connection: Client, stream: JetStreamContext
) -> None:
    memory = Memory()
    for count in (180, 360, 540, 720):
        await store_some(stream, 60)
        async with archives(connection, memory):
            wanted = await all_archived(connection, memory, count)
    shelf = Shelf((await state_of(connection, STREAMS[0])).identity, 4)
    _, lost, _, *_ = sorted((await Archive(memory).listing(shelf)).files)
    for kind in ("messages", "events", "verified"):
        del memory.objects[shelf.name(kind, lost)]
    missed = next(m.sequence for m in wanted if m.sequence > lost and partition_token(m.subject) == "4")
    assert (await planned(connection, memory)).before == missed
    async with archives(connection, memory):
        await eventually(partial(found_again, connection, memory, wanted))


async def found_again(connection: Client, memory: Memory, wanted: list[StoredMessage]) -> None:
    if await archived_messages(connection, memory) != wanted:
        raise TimeoutError
