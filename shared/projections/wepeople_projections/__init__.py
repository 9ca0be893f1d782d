"""Turns the stream into tables. A projection is a class: its tables are typed rows, its handlers pure functions.

    from wepeople_projections import Event, Projection, Row, Sum, add, on_event, table

See docs/projections.md.
"""

from wepeople_projections.definition.columns import (
    First,
    Greatest,
    Instant,
    Json,
    Jsonb,
    Known,
    Least,
    RawText,
    SmallInt,
    Sum,
    United,
)
from wepeople_projections.definition.items import Event, Fact, Identified, Reject, Request, Snapshot
from wepeople_projections.definition.operations import Emitted, Operation, add, delete, insert, sql, upsert
from wepeople_projections.definition.projection import (
    Projection,
    on_event,
    on_fact,
    on_identified,
    on_reject,
    on_request,
    on_snapshot,
)
from wepeople_projections.definition.table import Row, table
from wepeople_projections.errors import DefinitionError, OperationError, ProjectionError

__all__ = [
    "DefinitionError",
    "Emitted",
    "Event",
    "Fact",
    "First",
    "Greatest",
    "Identified",
    "Instant",
    "Json",
    "Jsonb",
    "Known",
    "Least",
    "Operation",
    "OperationError",
    "Projection",
    "ProjectionError",
    "RawText",
    "Reject",
    "Request",
    "Row",
    "SmallInt",
    "Snapshot",
    "Sum",
    "United",
    "add",
    "delete",
    "insert",
    "on_event",
    "on_fact",
    "on_identified",
    "on_reject",
    "on_request",
    "on_snapshot",
    "sql",
    "table",
    "upsert",
]
