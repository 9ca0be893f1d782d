"""A file against the stream, message by message."""

from collections.abc import Sequence
from itertools import chain, zip_longest

from wepeople_archive.file import MessageFile
from wepeople_chassis.stream import StoredMessage


def difference(stored: Sequence[StoredMessage], file: MessageFile) -> str | None:
    """The first difference between what the stream has of a file's stretch, and the file; None when there is none."""
    for of_stream, of_file in zip_longest(stored, chain.from_iterable(file.parts())):
        if of_stream == of_file:
            continue
        if of_file is None:
            return f"message {of_stream.sequence} of the stream is not in the file"
        if of_stream is None or of_stream.sequence > of_file.sequence:
            return f"message {of_file.sequence} of the file is not in the stream"
        if of_stream.sequence < of_file.sequence:
            return f"message {of_stream.sequence} of the stream is not in the file"
        return f"message {of_stream.sequence} is another one in the file"
    return None
