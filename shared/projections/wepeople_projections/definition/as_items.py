"""Rows, and what they taught, as the items that handlers are given."""

from msgspec import UNSET

from wepeople_contracts.envelope import AcceptedRow
from wepeople_contracts.rows import EventRow, SnapshotRow
from wepeople_projections.definition.items import Event, Identified, Request, Snapshot
from wepeople_projections.folding.decode import StoredFact, StoredRequest
from wepeople_projections.folding.identity import Resolution
from wepeople_projections.times import observed_at_us, occurred_at_us


def event_of(request: Request, accepted: AcceptedRow, row: EventRow, worker_id: str, received_at_us: int) -> Event:
    """An accepted event of a worker."""
    return Event(
        request,
        accepted.event_id,
        accepted.index,
        worker_id,
        row.event_type,
        row.category,
        occurred_at_us(row.timestamp, received_at_us),
        None if row.duration is UNSET else row.duration,
        None if row.metadata is UNSET else bytes(row.metadata),
    )


def snapshot_of(request: Request, accepted: AcceptedRow, row: SnapshotRow, worker_id: str) -> Snapshot:
    """A snapshot of a worker."""
    at_us = observed_at_us(row.timestamp, request.received_at_us)
    return Snapshot(request, accepted.event_id, worker_id, row.snapshot_type, at_us, bytes(row.metrics))


def identified_of(
    message: StoredRequest | StoredFact, resolution: Resolution, at_us: int, connection: str | None, name: str | None
) -> Identified:
    """What was decided about a row's actor, or about an entry of an import, which has a `name` and no `connection`."""
    return Identified(
        message.org_id,
        resolution.worker_id,
        message.message.sequence,
        at_us,
        resolution.founded,
        resolution.bound,
        resolution.conflicts,
        connection,
        name,
    )
