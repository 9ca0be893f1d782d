"""Rows of the timeline."""

from collections.abc import Sequence

from msgspec import UNSET, Struct

from wepeople_contracts.envelope import AcceptedRow, Envelope
from wepeople_contracts.rows import EventRow
from wepeople_projector.projections.times import occurred_at_us


class TimelineRow(Struct, frozen=True, gc=False):
    """One event. `duration` is in seconds; `metadata_raw` is what was sent, byte for byte."""

    event_id: str
    worker_id: str
    row_index: int
    event_type: str
    category: str
    occurred_at_us: int
    duration: float | None
    metadata_raw: bytes | None


class TimelineBlock(Struct, frozen=True, gc=False):
    """The events of one request, and what they have in common."""

    org_id: str
    app_id: str
    connection: str
    request_id: str
    sequence: int
    received_at_us: int
    rows: Sequence[TimelineRow]


def timeline_block(
    envelope: Envelope, sequence: int, resolved: Sequence[tuple[AcceptedRow, EventRow, str]]
) -> TimelineBlock:
    """The timeline's rows of one request, whose rows are resolved to workers."""
    received_at_us = envelope.received_at_us
    return TimelineBlock(
        envelope.org_id,
        envelope.app_id,
        envelope.connection,
        envelope.request_id,
        sequence,
        received_at_us,
        [
            TimelineRow(
                accepted.event_id,
                worker_id,
                accepted.index,
                row.event_type,
                row.category,
                occurred_at_us(row.timestamp, received_at_us),
                None if row.duration is UNSET else row.duration,
                None if row.metadata is UNSET else bytes(row.metadata),
            )
            for accepted, row, worker_id in resolved
        ],
    )
