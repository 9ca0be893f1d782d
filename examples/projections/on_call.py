"""On-call load: who solves how much, how much of it at night, and how long their queues were.

Run it with `wepeople projection run examples/projections/on_call.py`; read `on_call.load` and `on_call.queue_now`.
"""

from datetime import date, datetime
from typing import Annotated, Any

from msgspec import Meta

from wepeople_projections import (
    Event,
    Greatest,
    Operation,
    Projection,
    Row,
    Snapshot,
    Sum,
    on_event,
    on_snapshot,
    table,
    upsert,
)

DAY_BEGINS, DAY_ENDS = 7, 20


@table(key=("day", "worker_id"), name="load")
class Load(Row, frozen=True):
    """A worker's day on call, in UTC. Two handlers write it, each the columns that it knows of."""

    day: date
    worker_id: str
    incidents: Sum[int] = 0
    at_night: Annotated[Sum[int], Meta(description="Those resolved before 7 or from 20 o'clock on, UTC.")] = 0
    seconds: Annotated[Sum[int], Meta(description="How long the incidents lasted together.")] = 0
    most_waiting: Annotated[Greatest[float], Meta(description="The longest that the worker's queue was.")] = 0.0


@table(key=("worker_id",), newest_by=("observed_at",))
class QueueNow(Row, frozen=True):
    """The newest look at a worker's queue."""

    worker_id: str
    observed_at: datetime
    active: float
    waiting: float


class OnCall(Projection):
    """Incidents are events, queues are snapshots. `ordered`: after a parked row of a worker, theirs wait behind it."""

    name = "on_call"
    version = 1
    tables = (Load, QueueNow)
    ordered = True

    @on_event("incident.resolved")
    def resolved(self, event: Event) -> Operation:
        """One incident more for whoever resolved it."""
        at = event.occurred_at
        return upsert(
            Load(
                event.org_id,
                day=at.date(),
                worker_id=event.worker_id,
                incidents=1,
                at_night=int(not DAY_BEGINS <= at.hour < DAY_ENDS),
                seconds=round(event.duration or 0),
            )
        )

    @on_snapshot("oncall_queue")
    def looked(self, snapshot: Snapshot) -> list[Operation]:
        """How long the queue is now, and whether it never was longer that day."""
        at, metrics = snapshot.observed_at, snapshot.metrics
        active, waiting = number(metrics["active"]), number(metrics["waiting"])
        return [
            upsert(QueueNow(snapshot.org_id, snapshot.worker_id, at, active, waiting)),
            upsert(Load(snapshot.org_id, day=at.date(), worker_id=snapshot.worker_id, most_waiting=waiting)),
        ]


def number(metric: Any) -> float:
    """A metric's value, sent bare or as `{"value": 5, "unit": "count"}`."""
    return float(metric["value"] if isinstance(metric, dict) else metric)
