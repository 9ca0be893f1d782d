"""Rows of the latest snapshots, and which of two stays."""

from typing import NamedTuple

from wepeople_contracts.envelope import AcceptedRow, Envelope
from wepeople_contracts.rows import SnapshotRow
from wepeople_projector.projections.times import observed_at_us


class SnapshotKey(NamedTuple):
    """What only one snapshot is kept of."""

    org_id: str
    worker_id: str
    connection: str
    snapshot_type: str


class LatestSnapshot(NamedTuple):
    """A snapshot; `metrics` is what was sent, byte for byte."""

    key: SnapshotKey
    app_id: str
    event_id: str
    request_id: str
    sequence: int
    observed_at_us: int
    received_at_us: int
    metrics: bytes


def latest_snapshot(
    envelope: Envelope, sequence: int, accepted: AcceptedRow, row: SnapshotRow, worker_id: str
) -> LatestSnapshot:
    """The read model's row of one snapshot."""
    return LatestSnapshot(
        SnapshotKey(envelope.org_id, worker_id, envelope.connection, row.snapshot_type),
        envelope.app_id,
        accepted.event_id,
        envelope.request_id,
        sequence,
        observed_at_us(row.timestamp, envelope.received_at_us),
        envelope.received_at_us,
        bytes(row.metrics),
    )


def keep_newest(kept: dict[SnapshotKey, LatestSnapshot], snapshot: LatestSnapshot) -> None:
    """Let a snapshot replace the one of the same key, if it is newer: observed later or, at the same instant, stored
    later. The table decides by the same rule.
    """
    other = kept.get(snapshot.key)
    if other is None or (snapshot.observed_at_us, snapshot.sequence) > (other.observed_at_us, other.sequence):
        kept[snapshot.key] = snapshot
