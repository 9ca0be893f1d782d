"""A file of the archive gives back what was written, or says that it is damaged."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.archived import HISTORY, Memory, histories, message, put
from wepeople_archive.archive import Archive
from wepeople_archive.errors import Damaged
from wepeople_archive.file import FOOTER, read_file, write_file
from wepeople_archive.names import Shelf, number_of
from wepeople_archiver.comparing import difference
from wepeople_chassis.stream import StoredMessage

NAME = "messages/history=H/partition=03/00000000000000000000.parquet"


@settings(max_examples=50, deadline=None)
@given(messages=histories())
def test_what_is_read_is_what_was_written(messages: list[StoredMessage]) -> None:
    contents, data = write_file(HISTORY, 3, 0, messages)
    file = read_file(NAME, data)
    assert [message for part in file.parts() for message in part] == messages
    assert file.contents == contents
    assert (contents.after, contents.through, contents.messages) == (0, messages[-1].sequence, len(messages))


def test_a_message_of_nine_megabytes_is_a_part_of_its_own() -> None:
    large = [message(n, data=bytes([n]) * 9 * 1024 * 1024) for n in (1, 2)]
    _, data = write_file(HISTORY, 3, 0, large)
    assert [len(part) for part in read_file(NAME, data).parts()] == [1, 1]


@settings(max_examples=100, deadline=None)
@given(messages=histories(most=5), where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
async def test_a_flipped_bit_of_a_verified_file_is_found(messages: list[StoredMessage], where: float, bit: int) -> None:
    archive, shelf = Archive(memory := Memory()), Shelf(HISTORY, 3)
    await put(archive, shelf, 0, messages)
    data = memory.objects[shelf.name("messages", 0)]
    at = int(where * len(data))
    memory.objects[shelf.name("messages", 0)] = data[:at] + bytes([data[at] ^ (1 << bit)]) + data[at + 1 :]
    with pytest.raises(Damaged, match="not the file that was verified"):
        await archive.file(shelf, 0)


@pytest.mark.parametrize("size", [0, 3, 12, 400, -1])
def test_half_a_file_is_no_file(size: int) -> None:
    _, data = write_file(HISTORY, 3, 0, [message(1), message(2)])
    with pytest.raises(Damaged, match=NAME):
        read_file(NAME, data[:size])


def test_a_parquet_file_of_somebody_else_is_refused() -> None:
    _, data = write_file(HISTORY, 3, 0, [message(1)])
    with pytest.raises(Damaged, match="footer"):
        read_file(NAME, data.replace(FOOTER.encode(), b"somebody"))


@pytest.mark.parametrize(
    ("stored", "what"),
    [
        ([message(1), message(2)], "message 3 of the file is not in the stream"),
        ([message(1), message(2), message(3), message(4)], "message 4 of the stream is not in the file"),
        ([message(1), message(3)], "message 2 of the file is not in the stream"),
        ([message(1), replace(message(2), data=b"other"), message(3)], "message 2 is another one in the file"),
        ([message(1), replace(message(2), message_id="x"), message(3)], "message 2 is another one in the file"),
        ([message(1), replace(message(2), stored_at_ns=1), message(3)], "message 2 is another one in the file"),
        ([message(1), replace(message(2), traceparent="x"), message(3)], "message 2 is another one in the file"),
    ],
)
def test_any_difference_from_the_stream_is_found(stored: list[StoredMessage], what: str) -> None:
    _, data = write_file(HISTORY, 3, 0, [message(1), message(2), message(3)])
    found = difference(stored, read_file(NAME, data))
    assert found is not None
    assert what in found


def test_a_file_is_called_after_the_sequence_before_it() -> None:
    name = Shelf(HISTORY, 3).name("messages", 100)
    assert name == "messages/history=2026-11-24T153314.123456789Z/partition=03/00000000000000000100.parquet"
    assert number_of(name) == 100
    assert number_of("messages/history=H/partition=03/_SUCCESS") is None
