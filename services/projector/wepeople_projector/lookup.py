"""Looks a request up in the read models that serve."""

from typing import Any, NamedTuple

from psycopg import AsyncConnection

from wepeople_chassis.postgres import act_for_org, named_queries
from wepeople_contracts.projection import RequestQuery, RequestStatus
from wepeople_contracts.subjects import partition_of

_SQL = named_queries(__package__, "lookup.sql")


class Look(NamedTuple):
    """How far the partition's read models are, and the request as they know it, both of the same moment."""

    checkpoint: int
    status: RequestStatus | None


async def look(connection: AsyncConnection[Any], query: RequestQuery) -> Look:
    """Look for a request; one of another org or app is not found."""
    parameters = {"partition": partition_of(query.org_id), **query.model_dump()}
    await act_for_org(connection, query.org_id)
    row = await (await connection.execute(_SQL["look"], parameters)).fetchone()
    assert row is not None, "there is always a line"
    checkpoint, request_id, *fields = row
    if request_id is None:
        return Look(checkpoint or 0, None)
    names = ("kind", "received_at", "sequence", "projected_at", "accepted", "rejected")
    return Look(checkpoint, RequestStatus(request_id=request_id, **dict(zip(names, fields, strict=True))))
