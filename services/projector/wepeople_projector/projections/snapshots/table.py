"""Writes the latest snapshots: only a newer one replaces what is there."""

from collections.abc import Iterable
from typing import Any

from psycopg import AsyncConnection

from wepeople_chassis.postgres import named_queries
from wepeople_projector.projections.records import as_json
from wepeople_projector.projections.snapshots.rows import LatestSnapshot, SnapshotKey
from wepeople_projector.projections.times import instant

_SQL = named_queries(__package__, "snapshots.sql")
_FIELDS = (*SnapshotKey._fields, *LatestSnapshot._fields[1:5], "observed_at", "received_at", "metrics")


async def write_snapshots(connection: AsyncConnection[Any], snapshots: Iterable[LatestSnapshot]) -> None:
    """Upsert snapshots of distinct keys."""
    rows = [
        (*s.key, *s[1:5], instant(s.observed_at_us), instant(s.received_at_us), s.metrics.decode()) for s in snapshots
    ]
    if rows:
        await connection.execute(_SQL["upsert"], [as_json(_FIELDS, rows)])
