"""Writes the rejects, and forgets those whose time is over."""

import struct
from typing import Any

from psycopg import AsyncConnection

from wepeople_chassis.postgres import named_queries
from wepeople_projector.projections.binary import (
    HEADER,
    NULL,
    TRAILER,
    common_text,
    instant,
    int16,
    sized_bool,
    sized_int64,
    text,
)
from wepeople_projector.projections.rejects.rows import Reject, RejectRows
from wepeople_projector.projections.times import instant as as_datetime

_SQL = named_queries(__package__, "rejects.sql")
_COLUMNS = int16(14)
_sized_int16 = struct.Struct("!ih").pack


async def write_rejects(connection: AsyncConnection[Any], partition: int, rejects: RejectRows) -> None:
    """Forget what is past its time, then append."""
    if rejects.now_us:
        await connection.execute(_SQL["forget"], [partition, as_datetime(rejects.now_us)])
    if rejects.rows:
        async with connection.cursor() as cursor, cursor.copy(_SQL["copy"]) as copy:
            await copy.write(HEADER)
            for reject in rejects.rows:
                await copy.write(_encode(partition, reject))
            await copy.write(TRAILER)


def _encode(partition: int, reject: Reject) -> bytes:
    envelope, row = reject.envelope, reject.row
    return b"".join(
        (
            _COLUMNS,
            _sized_int16(2, partition),
            common_text(envelope.org_id),
            common_text(envelope.app_id),
            common_text(envelope.connection),
            text(envelope.request_id),
            sized_int64(8, reject.sequence),
            instant(envelope.received_at_us),
            instant(reject.kept_until_us),
            _sized_int16(2, row.index),
            common_text(row.code),
            text(_storable(row.message)),
            NULL if row.field is None else text(_storable(row.field)),
            sized_bool(1, row.retryable),
            text(reject.raw),
        )
    )


def _storable(words: str) -> str:
    """A message may quote what was sent, and Postgres has no NUL."""
    return words.replace("\0", "\N{REPLACEMENT CHARACTER}")
