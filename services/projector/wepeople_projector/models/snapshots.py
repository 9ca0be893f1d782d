"""How things stand: the newest snapshot of each type, per worker and app."""

from typing import Annotated

from msgspec import Meta

from wepeople_projections import Instant, Json, Operation, Projection, Row, Snapshot, on_snapshot, table, upsert


@table(key=("worker_id", "connection", "snapshot_type"), name="latest_snapshots", newest_by=("observed_at", "sequence"))
class LatestSnapshot(Row, frozen=True):
    """The newest snapshot of each type that each app has sent of each worker."""

    worker_id: str
    connection: Annotated[str, Meta(description="custom:<slug> of the app.")]
    snapshot_type: str
    metrics: Annotated[
        Json,
        Meta(description="As received, in the order received (json, not jsonb): the strip shows the first four."),
    ]
    observed_at: Annotated[
        Instant,
        Meta(description="The snapshot's timestamp, or the time of receipt if that was earlier; the newest wins."),
    ]
    received_at: Annotated[Instant, Meta(description="When the gateway received the request.")]
    request_id: str
    event_id: str
    app_id: str
    sequence: Annotated[
        int, Meta(description="The request's position in the stream; decides between equal observed_at.")
    ]


class LatestSnapshots(Projection):
    """The latest snapshots: only a newer one replaces what is there."""

    name = "latest_snapshots"
    version = 1
    tables = (LatestSnapshot,)

    @on_snapshot()
    def keep_newest(self, snapshot: Snapshot) -> Operation:
        """Offer a snapshot; `newest_by` decides whether it stays."""
        request = snapshot.request
        return upsert(
            LatestSnapshot(
                org_id=request.org_id,
                worker_id=snapshot.worker_id,
                connection=request.connection,
                snapshot_type=snapshot.snapshot_type,
                metrics=snapshot.metrics_raw,
                observed_at=snapshot.observed_at_us,
                received_at=request.received_at_us,
                request_id=request.request_id,
                event_id=snapshot.event_id,
                app_id=request.app_id,
                sequence=request.sequence,
            )
        )
