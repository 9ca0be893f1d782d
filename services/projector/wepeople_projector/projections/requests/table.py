"""Writes the requests, and looks one up."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from psycopg import AsyncConnection

from wepeople_chassis.postgres import named_queries
from wepeople_contracts.projection import RequestQuery, RequestStatus
from wepeople_contracts.subjects import partition_of
from wepeople_projector.projections.binary import (
    HEADER,
    TRAILER,
    common_text,
    instant,
    int16,
    sized_int32,
    sized_int64,
    text,
)
from wepeople_projector.projections.requests.rows import RequestRow

_SQL = named_queries(__package__, "requests.sql")
_COLUMNS = int16(9)


class Look(NamedTuple):
    """How far the partition's read models are, and the request as they know it, both of the same moment."""

    checkpoint: int
    status: RequestStatus | None


async def write_requests(connection: AsyncConnection[Any], requests: Sequence[RequestRow]) -> None:
    """Append the requests."""
    if not requests:
        return
    async with connection.cursor() as cursor, cursor.copy(_SQL["copy"]) as copy:
        await copy.write(HEADER + b"".join(map(_encode, requests)) + TRAILER)


async def look(connection: AsyncConnection[Any], query: RequestQuery) -> Look:
    """Look for a request; one of another org or app is not found."""
    parameters = {"partition": partition_of(query.org_id), **query.model_dump()}
    row = await (await connection.execute(_SQL["look"], parameters)).fetchone()
    assert row is not None, "there is always a line"
    checkpoint, request_id, *fields = row
    if request_id is None:
        return Look(checkpoint or 0, None)
    names = ("kind", "received_at", "sequence", "projected_at", "accepted", "rejected")
    return Look(checkpoint, RequestStatus(request_id=request_id, **dict(zip(names, fields, strict=True))))


def _encode(request: RequestRow) -> bytes:
    return b"".join(
        (
            _COLUMNS,
            text(request.request_id),
            common_text(request.org_id),
            common_text(request.app_id),
            common_text(request.connection),
            common_text(request.kind),
            sized_int64(8, request.sequence),
            instant(request.received_at_us),
            sized_int32(4, request.accepted),
            sized_int32(4, request.rejected),
        )
    )
