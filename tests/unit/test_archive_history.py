"""A replay that begins in the archive: all messages in order, or a word on what is missing."""

from collections import defaultdict
from contextlib import aclosing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.archived import HISTORY, Memory, message, put
from wepeople_archive.archive import Archive, Trimmed
from wepeople_archive.errors import ArchiveError, Damaged
from wepeople_archive.history import ArchivedHistory
from wepeople_archive.names import Shelf
from wepeople_chassis.stream import StoredMessage

ALL = "ingest.*.*.*.*"


async def archived(messages: list[StoredMessage], *, per_file: int, before: int, partitions: set[int]) -> Memory:
    """An archive of these messages, noted as complete before a sequence."""
    store = Memory()
    archive = Archive(store)
    of_each = defaultdict[int, list[StoredMessage]](list)
    for one in messages:
        of_each[int(one.subject.split(".")[1])].append(one)
    for partition in partitions:
        shelf, after = Shelf(HISTORY, partition), 0
        own = of_each[partition]
        for start in range(0, len(own), per_file):
            after = await put(archive, shelf, after, own[start : start + per_file])
        last = max((one.sequence for one in own if one.sequence < before), default=0)
        mark = Trimmed(stream="INGEST", after=0, last=last, before=before, trimmed_at="now")
        await archive.note_trimmed(shelf, mark)
    return store


async def replayed(
    store: Memory, *, after: int, before: int, partitions: set[int], filter_subject: str = ALL
) -> tuple[list[StoredMessage], list[int]]:
    """The messages, and how far each batch goes."""
    messages, through = [], []
    batches = ArchivedHistory(Archive(store)).batches(
        identity=HISTORY, partitions=partitions, filter_subject=filter_subject, after=after, before=before
    )
    async with aclosing(batches):
        async for batch in batches:
            messages += batch.messages
            through.append(batch.through)
            assert batch.pending > 0
            assert all(one.sequence <= batch.through for one in batch.messages)
    return messages, through


@settings(max_examples=60, deadline=None)
@given(
    of=st.lists(st.integers(0, 4), min_size=20, max_size=60),
    per_file=st.integers(1, 7),
    after=st.integers(0, 10) | st.integers(0, 70),
    before=st.integers(40, 70) | st.integers(1, 70),
)
async def test_every_message_between_is_replayed_once_in_the_streams_order(
    of: list[int], per_file: int, after: int, before: int
) -> None:
    partitions = {0, 1, 2, 3, 4}
    messages = [message(n, partition=partition) for n, partition in enumerate(of, 1)]
    store = await archived(messages, per_file=per_file, before=before, partitions=partitions)
    found, through = await replayed(store, after=after, before=before, partitions=partitions)
    assert found == [one for one in messages if after < one.sequence < before]
    assert through == sorted(through)
    assert through[-1] == before - 1


async def test_partitions_that_took_turns_do_so_again() -> None:
    messages = [message(n, partition=partition) for n, partition in enumerate([0, 1, 0, 1, 1, 0], 1)]
    store = await archived(messages, per_file=3, before=7, partitions={0, 1})
    found, _ = await replayed(store, after=0, before=7, partitions={0, 1})
    assert [one.sequence for one in found] == [1, 2, 3, 4, 5, 6]


async def test_one_orgs_filter_gives_only_its_messages() -> None:
    messages = [message(n, org=f"org_{n % 2}") for n in range(1, 9)]
    store = await archived(messages, per_file=3, before=9, partitions={3})
    found, _ = await replayed(store, after=0, before=9, partitions={3}, filter_subject="ingest.3.org_1.*.*")
    assert [one.sequence for one in found] == [1, 3, 5, 7]


async def test_what_the_archive_does_not_vouch_for_is_not_replayed() -> None:
    store = await archived([message(1)], per_file=1, before=5, partitions={3})
    with pytest.raises(ArchiveError, match="WEPEOPLE_ARCHIVE_URL"):
        await replayed(store, after=0, before=6, partitions={3})


async def test_another_partition_than_those_that_were_trimmed_is_not_replayed() -> None:
    store = await archived([message(1)], per_file=1, before=5, partitions={3})
    with pytest.raises(ArchiveError, match="partition 4"):
        await replayed(store, after=0, before=5, partitions={3, 4})


@pytest.mark.parametrize("lost", [0, 3, 6])
async def test_a_file_that_is_gone_is_missed_wherever_it_was(lost: int) -> None:
    store = await archived([message(n) for n in range(1, 10)], per_file=3, before=20, partitions={3})
    del store.objects[Shelf(HISTORY, 3).name("messages", lost)]
    with pytest.raises(ArchiveError, match=f"ends after {lost}, where it once went on to 9"):
        await replayed(store, after=0, before=20, partitions={3})


async def test_a_damaged_file_is_named_before_any_of_its_messages_is_replayed() -> None:
    store = await archived([message(n) for n in range(1, 10)], per_file=3, before=20, partitions={3})
    name = Shelf(HISTORY, 3).name("messages", 3)
    whole = store.objects[name]
    store.objects[name] = whole[: len(whole) // 3] + b"\0\0\0\0" + whole[len(whole) // 3 + 4 :]
    with pytest.raises(Damaged, match=name):
        await replayed(store, after=3, before=20, partitions={3})


async def test_a_file_of_another_partition_is_not_taken_for_this_ones() -> None:
    store = await archived([message(1)], per_file=1, before=5, partitions={3, 4})
    shelf = Shelf(HISTORY, 4)
    store.objects.pop(shelf.name("verified", 0), None)
    store.objects[shelf.name("messages", 0)] = store.objects[Shelf(HISTORY, 3).name("messages", 0)]
    with pytest.raises(Damaged, match="partition 3"):
        await replayed(store, after=0, before=5, partitions={4})
