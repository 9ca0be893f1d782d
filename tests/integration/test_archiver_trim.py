"""What was trimmed from a stream is read from the archive, by whoever reads the stream."""

from pathlib import Path

import pytest
from nats.aio.client import Client
from nats.js.client import JetStreamContext

from tests.support.archiving import all_archived, archives, planned, trimmed
from tests.support.lone_stream import read, reader_of, store
from wepeople_archive.folder import Folder
from wepeople_archiver.trimming import Reader
from wepeople_chassis.stream import StoredMessage, StreamError, state_of
from wepeople_contracts.subjects import PARTITIONS, STREAMS

EVERYBODY = dict.fromkeys(range(PARTITIONS), 10_000)


@pytest.fixture
async def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    monkeypatch.setenv("WEPEOPLE_ARCHIVE_URL", f"file://{tmp_path}/archive")
    (tmp_path / "archive").mkdir()
    return Folder(tmp_path / "archive")


async def filled(connection: Client, stream: JetStreamContext, folder: Folder) -> list[StoredMessage]:
    """Three partitions' 180 messages, archived."""
    for first in range(0, 60, 20):
        for partition in (3, 4, 12):
            await store(stream, 20, partition=partition, first=first)
    async with archives(connection, folder):
        return await all_archived(connection, folder, 180)


async def test_a_reader_goes_from_the_archive_into_the_stream_without_gap_or_repetition(
    connection: Client, stream: JetStreamContext, folder: Folder
) -> None:
    wanted = await filled(connection, stream, folder)
    assert await trimmed(connection, folder, Reader("live_v1", EVERYBODY | {4: 100})) == 100
    await store(stream, 30, partition=4, first=60)
    everything, _ = await read(reader_of(connection, after=0), lambda found, _: len(found) >= 210)
    assert everything[:180] == wanted
    assert [one.sequence for one in everything] == list(range(1, 211))
    one, _ = await read(reader_of(connection, "ingest.12.*.*.*", after=50), lambda _, batch: batch.through >= 210)
    assert one == [message for message in wanted if message.subject.startswith("ingest.12.") and message.sequence > 50]


async def test_a_reader_without_the_archive_stops_and_says_what_it_needs(
    connection: Client, stream: JetStreamContext, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(connection, stream, folder)
    await trimmed(connection, folder)
    monkeypatch.delenv("WEPEOPLE_ARCHIVE_URL")
    with pytest.raises(StreamError, match="Set WEPEOPLE_ARCHIVE_URL"):
        await read(reader_of(connection, after=0), lambda found, _: bool(found))


async def test_what_was_purged_by_hand_is_not_taken_for_archived(
    connection: Client, stream: JetStreamContext, folder: Folder
) -> None:
    await filled(connection, stream, folder)
    await trimmed(connection, folder, Reader("live_v1", dict.fromkeys(range(PARTITIONS), 50)))
    await stream.purge_stream(STREAMS[0], seq=100)
    with pytest.raises(StreamError, match="not purged by `wepeople archive trim`"):
        await read(reader_of(connection, after=0), lambda found, _: bool(found))


async def test_nothing_that_somebody_reads_just_now_goes(
    connection: Client, stream: JetStreamContext, folder: Folder
) -> None:
    await filled(connection, stream, folder)
    reader = reader_of(connection, after=0, pull_bytes=200).batches()
    await anext(reader)
    found = await planned(connection, folder)
    assert (found.before, found.held[0].why) == (found.held[0].keeps, "somebody reads there just now")
    assert found.before < 180
    await reader.aclose()


async def test_the_last_message_stays_and_the_stream_begins_with_it(
    connection: Client, stream: JetStreamContext, folder: Folder
) -> None:
    await filled(connection, stream, folder)
    assert await trimmed(connection, folder) == 179
    state = await state_of(connection, STREAMS[0])
    assert (state.first_sequence, state.last_sequence) == (180, 180)
    assert await trimmed(connection, folder) == 0


async def test_an_archiver_goes_on_after_a_trim_also_in_a_partition_that_was_idle(
    connection: Client, stream: JetStreamContext, folder: Folder
) -> None:
    wanted = await filled(connection, stream, folder)
    await trimmed(connection, folder)
    await store(stream, 5, partition=7)
    async with archives(connection, folder):
        await all_archived(connection, folder, 185)
    await trimmed(connection, folder)
    found, _ = await read(reader_of(connection, after=0), lambda messages, _: len(messages) >= 185)
    assert found[:180] == wanted
    assert [one.sequence for one in found] == list(range(1, 186))
