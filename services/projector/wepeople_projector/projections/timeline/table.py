"""Writes the timeline by binary COPY, straight into the table: ids are unique and the checkpoint fences.

Where a sender names its events, the fold has found out before which of them the timeline has.
"""

import struct
from collections.abc import Collection, Sequence
from typing import Any

import msgspec
from psycopg import AsyncConnection

from wepeople_chassis.postgres import named_queries
from wepeople_projector.projections.binary import (
    EPOCH_US,
    HEADER,
    NULL,
    TRAILER,
    common_text,
    instant,
    int16,
    int32,
    sized_float64,
    sized_int64,
    text,
)
from wepeople_projector.projections.timeline.rows import TimelineBlock, TimelineRow

_SQL = named_queries(__package__, "timeline.sql")
_COLUMNS = int16(15)
_JSONB_VERSION = b"\x01"
_index_and_instant = struct.Struct("!ihiq").pack


async def write_timeline(
    connection: AsyncConnection[Any], blocks: Sequence[TimelineBlock], without_jsonb: Collection[str] = ()
) -> None:
    """Append the blocks; the events of `without_jsonb` get NULL for metadata and keep metadata_raw.

    `psycopg.DataError` when Postgres cannot hold a row.
    """
    if not blocks:
        return
    async with connection.cursor() as cursor, cursor.copy(_SQL["copy"]) as copy:
        await copy.write(HEADER)
        for block in blocks:
            await copy.write(encode(block, without_jsonb))
        await copy.write(TRAILER)


async def find_events(connection: AsyncConnection[Any], event_ids: Collection[str]) -> set[str]:
    """Those of the ids that the timeline has, by one query."""
    if not event_ids:
        return set()
    asked = msgspec.json.encode(list(event_ids)).decode()
    cursor = await connection.execute(_SQL["find_events"], [asked], prepare=False)
    return {event_id for (event_id,) in await cursor.fetchall()}


async def hold_as_jsonb(connection: AsyncConnection[Any], rows: Sequence[TimelineRow]) -> None:
    """Let Postgres read the rows' metadata as JSONB without storing it; `psycopg.Error` when it refuses one."""
    raws = [row.metadata_raw.decode(errors="replace") for row in rows if row.metadata_raw is not None]
    await connection.execute(_SQL["hold_as_jsonb"], [raws])


def encode(block: TimelineBlock, without_jsonb: Collection[str] = ()) -> bytes:
    """A block in COPY's binary format: per row the number of columns, then the columns in the order of timeline.sql.

    Those that are the same throughout a request come first and are packed once.
    """
    start = _COLUMNS + b"".join(map(text, (block.org_id, block.app_id, block.connection, block.request_id)))
    start += sized_int64(8, block.sequence) + instant(block.received_at_us)
    parts: list[bytes] = []
    append = parts.extend
    for row in block.rows:
        raw = row.metadata_raw
        if raw is None:
            metadata: tuple[bytes, ...] = (NULL, NULL)
        elif row.event_id in without_jsonb:
            metadata = (NULL, int32(len(raw)), raw)
        else:
            metadata = (int32(len(raw) + 1), _JSONB_VERSION, raw, int32(len(raw)), raw)
        append(
            (
                start,
                text(row.event_id),
                text(row.worker_id),
                common_text(row.event_type),
                common_text(row.category),
                _index_and_instant(2, row.row_index, 8, row.occurred_at_us - EPOCH_US),
                NULL if row.duration is None else sized_float64(8, row.duration),
                *metadata,
            )
        )
    return b"".join(parts)
