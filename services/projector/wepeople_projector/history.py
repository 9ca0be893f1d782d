"""What the read models said of a worker at a point of the stream: the rows of a replay, shown as those of today are."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from wepeople_chassis.operator import Operator, fail, operator_connection, stderr
from wepeople_chassis.stream import StreamError
from wepeople_projections.definition.columns import Kind
from wepeople_projections.definition.points import PointError, parse_point
from wepeople_projections.definition.projection import define
from wepeople_projections.definition.table import Row, spec_of
from wepeople_projections.times import as_datetime
from wepeople_projector.models.live import Live
from wepeople_projector.models.snapshots import LatestSnapshot
from wepeople_projector.models.timeline import TimelineEvent
from wepeople_projector.models.workers import Worker
from wepeople_projector.replaying import replay, sequence_at

_TABLES: Mapping[str, type[Row]] = {"worker": Worker, "timeline": TimelineEvent, "snapshots": LatestSnapshot}
"""By the query of reading.sql that asks for the same of today."""


def point_of(at: str) -> int | datetime:
    """A sequence or a time, as it was typed; exit 2 when it is neither."""
    try:
        return parse_point(at)
    except PointError as error:
        fail(str(error))


async def rows_at(
    operator: Operator, query: str, worker: Mapping[str, str], point: int | datetime, limit: int | None = None
) -> list[dict[str, Any]]:
    """What a query of reading.sql would have found of a worker at a sequence or time; exit 1 when nobody can tell."""
    spec = spec_of(_TABLES[query])
    try:
        async with operator_connection(operator) as connection:
            through = await sequence_at(connection, worker["org_id"], point)
            found = await replay(connection, define(Live), spec, (worker["org_id"], worker["worker_id"]), through)
    except StreamError as error:
        fail(f"The history cannot be read: {error}.", 1)
    if found.parked:
        stderr.print(f"{found.parked} rows of this org could not be applied; they are not among these.", style="yellow")
    return [as_fields(row) for row in newest_first(found.rows)[:limit]]


def newest_first(rows: list[Row]) -> list[Row]:
    """Events the newest first; other rows stay in the order of their key."""
    events = [row for row in rows if isinstance(row, TimelineEvent)]
    events.sort(key=lambda event: (event.occurred_at, event.event_id), reverse=True)
    return [*events] or rows


def as_fields(row: Row) -> dict[str, Any]:
    """A row by the names of its columns, as the database would give it: instants as RFC 3339 text."""
    columns = spec_of(type(row)).columns
    return {column.name: _plain(column.kind, getattr(row, column.name)) for column in columns}


def _plain(kind: Kind, value: Any) -> Any:
    if value is None:
        return None
    match kind:
        case Kind.INSTANT:
            return as_datetime(value).isoformat()
        case Kind.JSON | Kind.JSONB:
            return msgspec.json.decode(value)
        case Kind.RAW_TEXT:
            return value.decode()
        case _:
            return value
