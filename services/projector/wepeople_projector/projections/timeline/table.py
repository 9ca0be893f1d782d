"""Writes the timeline by binary COPY, straight into the table: ids are unique and the checkpoint fences."""

import struct
from collections.abc import Collection, Sequence
from typing import Any

from psycopg import AsyncConnection

from wepeople_chassis.postgres import named_queries
from wepeople_projector.projections.timeline.rows import TimelineBlock, TimelineRow

_SQL = named_queries(__package__, "timeline.sql")
_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"
_NULL = b"\xff\xff\xff\xff"
_COLUMNS = struct.pack("!h", 15)
_POSTGRES_EPOCH_US = 946_684_800_000_000
_JSONB_VERSION = b"\x01"

_length = struct.Struct("!i").pack
_int8 = struct.Struct("!iq").pack
_int2_and_int8 = struct.Struct("!ihiq").pack
_float8 = struct.Struct("!id").pack


async def write_timeline(
    connection: AsyncConnection[Any], blocks: Sequence[TimelineBlock], without_jsonb: Collection[str] = ()
) -> None:
    """Append the blocks; the events of `without_jsonb` get NULL for metadata and keep metadata_raw.

    `psycopg.DataError` when Postgres cannot hold a row.
    """
    if not blocks:
        return
    async with connection.cursor() as cursor, cursor.copy(_SQL["copy"]) as copy:
        await copy.write(_HEADER)
        for block in blocks:
            await copy.write(encode(block, without_jsonb))
        await copy.write(_TRAILER)


async def hold_as_jsonb(connection: AsyncConnection[Any], rows: Sequence[TimelineRow]) -> None:
    """Let Postgres read the rows' metadata as JSONB without storing it; `psycopg.Error` when it refuses one."""
    raws = [row.metadata_raw.decode(errors="replace") for row in rows if row.metadata_raw is not None]
    await connection.execute(_SQL["hold_as_jsonb"], [raws])


def encode(block: TimelineBlock, without_jsonb: Collection[str] = ()) -> bytes:
    """A block in COPY's binary format: per row the number of columns, then each column's length and bytes.

    Assembled by hand, because the driver's row writer takes most of the projector's time. The columns that are the
    same throughout a request come first and are packed once.
    """
    start = b"".join(
        (
            _COLUMNS,
            _text(block.org_id),
            _text(block.app_id),
            _text(block.connection),
            _text(block.request_id),
            _int8(8, block.sequence),
            _int8(8, block.received_at_us - _POSTGRES_EPOCH_US),
        )
    )
    parts: list[bytes] = []
    append = parts.extend
    for row in block.rows:
        raw = row.metadata_raw
        if raw is None:
            metadata: tuple[bytes, ...] = (_NULL, _NULL)
        elif row.event_id in without_jsonb:
            metadata = (_NULL, _length(len(raw)), raw)
        else:
            metadata = (_length(len(raw) + 1), _JSONB_VERSION, raw, _length(len(raw)), raw)
        append(
            (
                start,
                _text(row.event_id),
                _text(row.worker_id),
                _text(row.event_type),
                _text(row.category),
                _int2_and_int8(2, row.row_index, 8, row.occurred_at_us - _POSTGRES_EPOCH_US),
                _NULL if row.duration is None else _float8(8, row.duration),
            )
        )
        append(metadata)
    return b"".join(parts)


def _text(value: str) -> bytes:
    data = value.encode()
    return _length(len(data)) + data
