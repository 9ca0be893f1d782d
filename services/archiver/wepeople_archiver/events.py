"""The accepted events of a file, flat: one row each, for questions that want no decoding."""

import io
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import msgspec
from arro3.core import DataType
from arro3.io import write_parquet
from msgspec import UNSET, UnsetType

from wepeople_archive.columns import Column, table_of
from wepeople_archive.file import COMPRESSION
from wepeople_chassis.logging import get_logger
from wepeople_chassis.stream import StoredMessage
from wepeople_contracts.envelope import Envelope, decode
from wepeople_contracts.rows import EventRow
from wepeople_contracts.subjects import parse_ingest_subject

log = get_logger(__name__)

_INSTANT = DataType.timestamp("us", tz="UTC")
_TEXT = DataType.string()
_COLUMNS = (
    Column("org_id", _TEXT),
    Column("app_id", _TEXT),
    Column("connection", _TEXT),
    Column("event_id", _TEXT),
    Column("event_type", _TEXT),
    Column("category", _TEXT),
    Column("occurred_at", _INSTANT),
    Column("received_at", _INSTANT),
    Column("worker_id", _TEXT, optional=True),
    Column("external_id", _TEXT, optional=True),
    Column("email", _TEXT, optional=True),
    Column("duration", DataType.float64(), optional=True),
    Column("metadata", _TEXT, optional=True),
    Column("request_id", _TEXT),
    Column("sequence", DataType.int64()),
    Column("row_index", DataType.int32()),
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_row_decoder = msgspec.json.Decoder(EventRow)

T = TypeVar("T")


def write_events(messages: Sequence[StoredMessage]) -> bytes:
    """The Parquet file of the accepted events of messages; without a row when there are none."""
    rows = [row for message in messages for row in _rows_of(message)]
    out = io.BytesIO()
    write_parquet(
        table_of(_COLUMNS, rows),
        out,
        compression=COMPRESSION,
        column_dictionary_enabled={"event_id": False, "metadata": False},
    )
    return out.getvalue()


def _rows_of(message: StoredMessage) -> Iterator[tuple[Any, ...]]:
    """What cannot be read is passed over, and said: it is among the messages, for a release that can."""
    if parse_ingest_subject(message.subject).kind != "events":
        return
    try:
        envelope = decode(message.data)
        rows = [(accepted, _row_decoder.decode(accepted.raw)) for accepted in envelope.accepted]
    except ValueError as error:
        log.warning("events_not_readable", sequence=message.sequence, error=str(error))
        return
    for accepted, row in rows:
        yield (*_row(envelope, accepted.event_id, row), message.sequence, accepted.index)


def _row(envelope: Envelope, event_id: str, row: EventRow) -> tuple[Any, ...]:
    received_at = envelope.received_at_us
    return (
        envelope.org_id,
        envelope.app_id,
        envelope.connection,
        event_id,
        row.event_type,
        row.category,
        received_at if row.timestamp is UNSET else (row.timestamp - _EPOCH) // _MICROSECOND,
        received_at,
        _known(row.actor.worker_id),
        _known(row.actor.external_id),
        _known(row.actor.email),
        _known(row.duration),
        None if row.metadata is UNSET else bytes(row.metadata).decode(),
        envelope.request_id,
    )


def _known(value: T | UnsetType) -> T | None:
    return None if value is UNSET else value
