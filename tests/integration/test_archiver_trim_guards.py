"""What a trim looks at again before it lets anything go: the files, the stream, a split, and who has begun to read."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client
from nats.js.api import StreamSource
from nats.js.client import JetStreamContext

from tests.support.archived import Memory
from tests.support.archiving import all_archived, archives, planned, trimmed
from tests.support.lone_stream import eventually, make_stream, read, reader_of, store
from tests.support.splitting import split_stream
from wepeople_archive.archive import Archive
from wepeople_archive.errors import ArchiveError
from wepeople_archive.folder import Folder
from wepeople_archive.names import Shelf
from wepeople_archiver.purging import trim
from wepeople_chassis.stream import create_consumer, state_of
from wepeople_contracts.subjects import STREAMS
from wepeople_provision.stream import provision_streams


async def filled(
    connection: Client, stream: JetStreamContext, memory: Memory, partitions: tuple[int, int] = (3, 4)
) -> None:
    """Two partitions' 120 messages, archived."""
    for first in range(0, 60, 20):
        for partition in partitions:
            await store(stream, 20, partition=partition, first=first)
    async with archives(connection, memory):
        await all_archived(connection, memory, 120)


async def first_of(connection: Client) -> int:
    return (await state_of(connection, STREAMS[0])).first_sequence


def gone(memory: Memory, name: str) -> None:
    del memory.objects[name]


def spoiled(memory: Memory, name: str) -> None:
    memory.objects[name] = memory.objects[name][:-200] + bytes(200)


@pytest.mark.parametrize("harm", [gone, spoiled])
async def test_nothing_goes_whose_file_was_harmed_since_it_was_verified(
    connection: Client, stream: JetStreamContext, harm: Callable[[Memory, str], None]
) -> None:
    memory = Memory()
    await filled(connection, stream, memory)
    shelf = Shelf((await state_of(connection, STREAMS[0])).identity, 4)
    wanted = await planned(connection, memory)
    harm(memory, shelf.name("messages", max((await Archive(memory).listing(shelf)).files)))
    with pytest.raises(ArchiveError, match=r"partition 4 is in no verified file|partition=04"):
        await trim(connection, Archive(memory), await state_of(connection, STREAMS[0]), wanted)
    assert await first_of(connection) == 1


async def test_a_stream_that_was_made_anew_since_the_plan_is_left_alone(
    connection: Client, stream: JetStreamContext
) -> None:
    memory = Memory()
    await filled(connection, stream, memory)
    state, wanted = await state_of(connection, STREAMS[0]), await planned(connection, memory)
    await stream.delete_stream(STREAMS[0])
    await make_stream(stream)
    await store(stream, 130)
    with pytest.raises(ArchiveError, match="another one by now"):
        await trim(connection, Archive(memory), state, wanted)
    assert await first_of(connection) == 1


async def test_nothing_goes_while_a_split_copies_the_stream(connection: Client, stream: JetStreamContext) -> None:
    """The copy would wait for what went, for ever, or have a gap that nobody sees."""
    memory = Memory()
    await filled(connection, stream, memory)
    state, wanted = await state_of(connection, STREAMS[0]), await planned(connection, memory)
    await stream.add_stream(name=STREAMS[8], mirror=StreamSource(name=STREAMS[0], filter_subject="ingest.4.*.*.*"))
    with pytest.raises(ArchiveError, match="INGEST_8 is being split from it"):
        await trim(connection, Archive(memory), state, wanted)
    assert await first_of(connection) == 1
    assert not (await planned(connection, memory)).trims


async def test_what_left_by_a_split_stays_until_it_is_tidied_up(connection: Client) -> None:
    """Until then nobody has seen that the new stream has all of it."""
    memory = Memory()
    await eventually(lambda: provision_streams(connection))
    await filled(connection, connection.jetstream(), memory, partitions=(3, 12))
    state, wanted = await state_of(connection, STREAMS[0]), await planned(connection, memory)
    await split_stream(connection, STREAMS[0])
    with pytest.raises(ArchiveError, match="another one by now"):
        await trim(connection, Archive(memory), state, wanted)
    found = await planned(connection, memory)
    assert (found.before, found.held[0].why.partition(",")[0]) == (21, "partition 12 left it by a split")


async def test_the_marker_of_a_split_is_no_message_that_may_go_or_stay(connection: Client) -> None:
    memory = Memory()
    await eventually(lambda: provision_streams(connection))
    await filled(connection, connection.jetstream(), memory)
    await split_stream(connection, STREAMS[0])
    assert (await planned(connection, memory)).before == 120
    assert await trimmed(connection, memory) == 119


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_purge_about_the_moment_in_which_a_reader_begins_is_read_from_the_archive(
    connection: Client, stream: JetStreamContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """Between its look at the stream and its consumer, or after the trim's look at who reads."""
    memory = Memory()
    await filled(connection, stream, memory)
    await written(memory, tmp_path)
    monkeypatch.setenv("WEPEOPLE_ARCHIVE_URL", f"file://{tmp_path}")
    monkeypatch.setattr("wepeople_archiver.places.being_read", nobody)

    async def at_a_bad_moment(*arguments: Any) -> dict[str, Any]:
        if when == "before":
            await trimmed(connection, Folder(tmp_path))
            return await create_consumer(*arguments)
        info = await create_consumer(*arguments)
        await trimmed(connection, Folder(tmp_path))
        return info

    monkeypatch.setattr("wepeople_chassis.reader.create_consumer", at_a_bad_moment)
    found, _ = await read(reader_of(connection, after=10), lambda _, batch: batch.through >= 120)
    assert [message.sequence for message in found] == list(range(11, 121))


async def nobody(*_: object) -> None:
    return None


async def written(memory: Memory, folder: Path) -> None:
    for name, data in memory.objects.items():
        await Folder(folder).create(name, data)
