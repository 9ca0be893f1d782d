"""After a split: what is left in the old stream goes once the new one is seen to have it; copies of several streams."""

import json
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client

from tests.support.lone_stream import eventually
from tests.support.splitting import Killed, split_stream, subject_in, texts
from wepeople_chassis.reader import StreamReader
from wepeople_chassis.stream import EARLIER_IDS, state_of, stream_states
from wepeople_contracts.subjects import partition_filter, stream_subjects
from wepeople_provision import stream_cut
from wepeople_provision.errors import ProvisionError
from wepeople_provision.stream import plan_streams, provision_streams
from wepeople_provision.stream_api import ask
from wepeople_provision.stream_copy import backup, restore
from wepeople_provision.stream_tidy import end_asking, leftovers, tidy


@pytest.fixture
async def split(connection: Client) -> Client:
    """Two streams that were one; the first message was of a partition that left."""
    await eventually(lambda: provision_streams(connection))
    for number in range(9, 59):
        await publish(connection, number % 16, f"m{number}")
    await split_stream(connection, "INGEST")
    await forget_the_ids(connection, "INGEST_8")
    return connection


async def forget_the_ids(connection: Client, stream: str) -> None:
    """As if ten minutes had passed since the split."""
    info = await ask(connection, "STREAM.INFO", stream)
    said = info["config"]["metadata"][EARLIER_IDS]
    metadata = info["config"]["metadata"] | {EARLIER_IDS: f"{said.partition('@')[0]}@1"}
    await stream_cut.change(connection, info, metadata=metadata)


async def publish(connection: Client, partition: int, message_id: str) -> None:
    headers = {"Nats-Msg-Id": message_id}
    reply = await connection.request(subject_in(partition), message_id.encode(), timeout=5, headers=headers)
    assert "error" not in json.loads(reply.data)


async def everything(connection: Client) -> dict[int, dict[int, str]]:
    """Each partition's messages in the stream that takes it."""
    return {
        p: await texts(connection, state.name, p) for state in await stream_states(connection) for p in state.partitions
    }


async def test_what_left_is_purged_from_the_old_stream_alone_and_nothing_else(split: Client) -> None:
    before = await everything(split)
    left = await leftovers(split)
    assert [(one.old, one.partition, one.stream) for one in left] == [("INGEST", p, "INGEST_8") for p in range(8, 16)]
    assert sum(one.messages for one in left) == sum(len(before[p]) for p in range(8, 16))
    for one in left:
        await tidy(split, one)
    assert await leftovers(split) == []
    await end_asking(split)
    assert (await ask(split, "STREAM.INFO", "INGEST"))["config"]["subjects"] == stream_subjects(range(8))
    assert await everything(split) == before
    assert await plan_streams(split) == []


async def test_the_old_streams_readers_are_not_told_that_their_beginning_is_gone(split: Client) -> None:
    for one in await leftovers(split):
        await tidy(split, one)
    assert (await ask(split, "STREAM.INFO", "INGEST"))["state"]["first_seq"] > 1
    assert (await state_of(split, "INGEST")).first_sequence == 1
    reader = StreamReader(split, stream="INGEST", filter_subject=partition_filter(0), after=0)
    batch = await anext(reader.batches())
    assert [message.data for message in batch.messages] == [b"m16", b"m32", b"m48"]


async def test_while_ids_of_before_are_asked_for_nothing_is_purged(split: Client) -> None:
    await split_stream(split, "INGEST_8")
    with pytest.raises(ProvisionError, match=r"For 6\d\d s more"):
        await leftovers(split)


@pytest.mark.parametrize("harm", ["gone", "another"])
async def test_nothing_is_purged_of_a_partition_of_which_the_new_stream_lacks_a_message(
    split: Client, harm: str
) -> None:
    found = await texts(split, "INGEST_8", 9)
    lost = sorted(found)[1]
    await ask(split, "STREAM.MSG.DELETE", "INGEST_8", {"seq": lost})
    if harm == "another":
        await publish(split, 9, "another")
    (nine,) = [one for one in await leftovers(split) if one.partition == 9]
    with pytest.raises(ProvisionError, match=f"lacks 1 messages of partition 9.*at {lost} with the id {found[lost]}"):
        await tidy(split, nine)
    assert await texts(split, "INGEST", 9) == found


async def test_what_an_archive_trimmed_from_the_new_stream_since_is_not_missing_there(split: Client) -> None:
    _, second, *_ = sorted(await texts(split, "INGEST_8", 9))
    await ask(split, "STREAM.PURGE", "INGEST_8", {"seq": second})
    for one in await leftovers(split):
        await tidy(split, one)
    assert await texts(split, "INGEST", 9) == {}


async def test_while_a_split_is_not_finished_nothing_is_tidied_and_nothing_copied(
    split: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stopped(*_: Any) -> None:
        raise Killed

    monkeypatch.setattr(stream_cut, "_mark", stopped)
    with pytest.raises(Killed):
        await split_stream(split, "INGEST_8")
    with pytest.raises(ProvisionError, match="wepeople stream split"):
        await leftovers(split)
    with pytest.raises(ProvisionError, match="wepeople stream split"):
        await backup(split, tmp_path / "copy")


async def test_copies_of_several_streams_are_brought_back_as_they_were_but_as_other_streams(
    split: Client, tmp_path: Path
) -> None:
    before, states = await everything(split), await stream_states(split)
    copied = await backup(split, tmp_path / "copy")
    assert sorted(folder.name for folder in (tmp_path / "copy").iterdir()) == ["INGEST", "INGEST_8"]
    for name in ("INGEST", "INGEST_8"):
        await split.jetstream().delete_stream(name)
    await eventually(lambda: provision_streams(split))
    assert await restore(split, tmp_path / "copy", replace=False) == copied
    assert await everything(split) == before
    after = await stream_states(split)
    assert [(s.name, s.partitions, s.first_sequence, s.last_sequence) for s in after] == [
        (s.name, s.partitions, s.first_sequence, s.last_sequence) for s in states
    ]
    assert not {state.identity for state in after} & {state.identity for state in states}


async def test_a_stream_with_messages_that_is_not_in_the_copy_stays_and_nothing_is_changed(
    connection: Client, tmp_path: Path
) -> None:
    await eventually(lambda: provision_streams(connection))
    await backup(connection, tmp_path / "copy")
    await split_stream(connection, "INGEST")
    await publish(connection, 9, "new")
    before = await everything(connection)
    with pytest.raises(ProvisionError, match=r"INGEST.* goes on to .*Nothing was changed"):
        await restore(connection, tmp_path / "copy", replace=True)
    assert await everything(connection) == before
