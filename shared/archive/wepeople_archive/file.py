"""One file of messages: Parquet, with what it holds in its footer, and a hash of that.

`data` is byte for byte what the stream has. What stands beside it is for questions that need no decoding.
"""

import hashlib
import io
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import msgspec
from arro3.core import DataType
from arro3.io import write_parquet

from wepeople_archive.columns import Column, read_rows, table_of
from wepeople_archive.errors import Damaged
from wepeople_chassis.stream import StoredMessage
from wepeople_contracts.envelope import decode_outline
from wepeople_contracts.subjects import parse_ingest_subject

FOOTER = "wepeople"
COMPRESSION = "zstd(3)"
GROUP_ROWS = 4096
DECODED_BYTES = 4 * 1024 * 1024
"""About so much of a file is decoded at a time."""

_INSTANT = DataType.timestamp("ns", tz="UTC")
_COLUMNS = (
    Column("sequence", DataType.int64()),
    Column("subject", DataType.string()),
    Column("message_id", DataType.string()),
    Column("stored_at", _INSTANT),
    Column("traceparent", DataType.string(), optional=True),
    Column("data", DataType.binary()),
    Column("org_id", DataType.string()),
    Column("app_id", DataType.string()),
    Column("kind", DataType.string()),
    Column("request_id", DataType.string(), optional=True),
    Column("connection", DataType.string(), optional=True),
    Column("accepted", DataType.int32(), optional=True),
    Column("rejected", DataType.int32(), optional=True),
)
_REPLAYED = tuple(column.name for column in _COLUMNS[:6])


class Contents(msgspec.Struct, frozen=True, kw_only=True):
    """What a file holds: everything that the partition has after the sequence `after`, up to `through`, which is its
    last message's. `sha256` is of all its messages, whatever the bytes of the file are.
    """

    format: int = 1
    history: str
    partition: int
    after: int
    through: int
    messages: int
    bytes: int
    largest: int
    sha256: str


@dataclass(frozen=True, slots=True)
class MessageFile:
    """A file that was read and found whole."""

    contents: Contents
    _name: str
    _data: bytes

    @property
    def size(self) -> int:
        """Of the file, in bytes."""
        return len(self._data)

    @property
    def file_sha256(self) -> str:
        """Of the file's bytes."""
        return hashlib.sha256(self._data).hexdigest()

    def parts(self) -> Iterator[list[StoredMessage]]:
        """Its messages in order, some at a time."""
        return _parts(self._name, self._data, self.contents)


def write_file(history: str, partition: int, after: int, messages: Sequence[StoredMessage]) -> tuple[Contents, bytes]:
    """The file of messages that are all a partition has after a sequence, in order, at least one."""
    sizes = [len(message.data) for message in messages]
    contents = Contents(
        history=history,
        partition=partition,
        after=after,
        through=messages[-1].sequence,
        messages=len(messages),
        bytes=sum(sizes),
        largest=max(sizes),
        sha256=_hash(messages),
    )
    out = io.BytesIO()
    write_parquet(
        table_of(_COLUMNS, [_row(message) for message in messages]),
        out,
        compression=COMPRESSION,
        # Messages are never equal: a dictionary of them would be tried and thrown away.
        column_dictionary_enabled={"data": False, "message_id": False, "request_id": False},
        key_value_metadata={FOOTER: msgspec.json.encode(contents).decode()},
        max_row_group_size=GROUP_ROWS,
    )
    return contents, out.getvalue()


def read_file(name: str, data: bytes) -> MessageFile:
    """A file from its bytes; `Damaged` unless it holds what was written."""
    footer, _ = read_rows(name, data, (), rows_at_once=1)
    try:
        contents = msgspec.json.decode(footer.get(FOOTER.encode(), b""), type=Contents)
    except msgspec.DecodeError:
        raise Damaged(name, "its footer does not say what it holds") from None
    found = hashlib.sha256()
    count, last = 0, contents.after
    for part in _parts(name, data, contents):
        for message in part:
            try:
                _add(found, message)
            except struct.error:
                raise Damaged(name, f"message {message.sequence} has a number that nothing has") from None
            if message.sequence <= last:
                raise Damaged(name, f"message {message.sequence} comes after {last}")
            last = message.sequence
        count += len(part)
    if (found.hexdigest(), count, last) != (contents.sha256, contents.messages, contents.through):
        raise Damaged(name, "its messages are not those that its footer speaks of")
    return MessageFile(contents, name, data)


def _parts(name: str, data: bytes, contents: Contents) -> Iterator[list[StoredMessage]]:
    rows_at_once = max(1, min(GROUP_ROWS, DECODED_BYTES // max(contents.largest, 1)))
    _, parts = read_rows(name, data, _REPLAYED, rows_at_once=rows_at_once)
    for part in parts:
        yield [
            StoredMessage(
                sequence=sequence,
                subject=subject,
                message_id=message_id,
                stored_at_ns=stored_at_ns,
                data=message,
                traceparent=traceparent,
            )
            for sequence, subject, message_id, stored_at_ns, traceparent, message in part
        ]


def _hash(messages: Iterable[StoredMessage]) -> str:
    found = hashlib.sha256()
    for message in messages:
        _add(found, message)
    return found.hexdigest()


def _add(found: "hashlib._Hash", message: StoredMessage) -> None:
    """Each part with its length before it, so that no two messages give the same bytes."""
    parts = (message.subject.encode(), message.message_id.encode(), (message.traceparent or "").encode(), message.data)
    found.update(struct.pack(">QQIIII", message.sequence, message.stored_at_ns, *map(len, parts)))
    for part in parts:
        found.update(part)


def _row(message: StoredMessage) -> tuple[object, ...]:
    subject = parse_ingest_subject(message.subject)
    request_id, connection, accepted, rejected = _outline(message, subject.kind)
    return (
        message.sequence,
        message.subject,
        message.message_id,
        message.stored_at_ns,
        message.traceparent,
        message.data,
        subject.org_id,
        subject.app_id,
        subject.kind,
        request_id,
        connection,
        accepted,
        rejected,
    )


def _outline(message: StoredMessage, kind: str) -> tuple[str | None, str | None, int | None, int | None]:
    """Of a request that this release can read; of a fact of the directory, or of what is no envelope, nothing."""
    if kind == "directory":
        return None, None, None, None
    try:
        outline = decode_outline(message.data)
        return outline.request_id, outline.connection, outline.accepted_count, len(outline.rejected)
    except ValueError:
        return None, None, None, None
