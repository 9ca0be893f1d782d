"""Which file is due when: nothing is left out, nothing is written twice, and memory has an end."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.archived import HISTORY, histories, message
from wepeople_archive.file import MessageFile, read_file, write_file
from wepeople_archiver.gathering import Gathered, Limits, due
from wepeople_chassis.stream import StoredMessage

LIMITS = Limits(file_bytes=100, file_messages=10, file_seconds=60.0, waiting_bytes=1_000)


def gathered(*sizes: int, after: int = 0, since: float = 0.0) -> Gathered:
    found = Gathered(after)
    for number, size in enumerate(sizes, 1):
        found.add(message(after + number, data=b"x" * size), since)
    return found


def test_nothing_is_due_of_what_is_small_few_and_young() -> None:
    assert due({3: gathered(10, 10)}, LIMITS, 59.0) == []


def test_a_file_is_due_by_its_bytes() -> None:
    assert due({3: gathered(50, 50), 4: gathered(99)}, LIMITS, 0.0) == [3]


def test_a_file_is_due_by_its_messages() -> None:
    assert due({3: gathered(*[1] * 10), 4: gathered(*[1] * 9)}, LIMITS, 0.0) == [3]


def test_a_file_is_due_by_the_time_that_its_first_message_waited() -> None:
    assert due({3: gathered(1), 4: gathered(1, since=1.0), 5: gathered()}, LIMITS, 60.0) == [3]


def test_when_all_together_are_too_much_the_fullest_goes() -> None:
    limits = Limits(file_bytes=1_000, file_messages=1_000, file_seconds=60.0, waiting_bytes=100)
    assert due({3: gathered(40), 4: gathered(50), 5: gathered(30)}, limits, 0.0) == [4]


def test_a_file_that_is_there_is_compared_once_all_of_it_was_read() -> None:
    _, data = write_file(HISTORY, 3, 0, [message(1), message(2), message(3)])
    found = Gathered(0, expected=read_file("name", data))
    found.add(message(1), 0.0)
    found.add(message(2), 0.0)
    assert due({3: found}, LIMITS, 1e9) == []
    found.add(message(3), 0.0)
    assert due({3: found}, LIMITS, 0.0) == [3]


@settings(deadline=None)
@given(messages=histories(), cuts=st.lists(st.integers(1, 8), min_size=1), repeats=st.integers(0, 5))
def test_files_follow_on_each_other_and_hold_every_message_once(
    messages: list[StoredMessage], cuts: list[int], repeats: int
) -> None:
    found, files = Gathered(0), list[MessageFile]()
    for number, stored in enumerate(messages):
        # A reader that began anew gives some again.
        for again in messages[max(0, number - repeats) : number + 1]:
            found.add(again, 0.0)
        assert stored in found.messages
        if len(found.messages) >= cuts[len(files) % len(cuts)]:
            contents, data = write_file(HISTORY, 3, found.after, found.messages)
            files.append(read_file("name", data))
            found.settle(files[-1], 0.0)
            assert found.after == contents.through
            assert found.size == 0
    archived = [one for file in files for part in file.parts() for one in part]
    assert archived + found.messages == messages
    assert [file.contents.after for file in files] == [0, *(file.contents.through for file in files)][: len(files)]
