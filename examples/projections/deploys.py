"""Deploys per service and week: how many, and how long they took.

Run it with `wepeople projection run examples/projections/deploys.py`, read it in `deploys.deploys_per_week`.
"""

from datetime import date, timedelta
from typing import Annotated

from msgspec import Meta

from wepeople_projections import Event, Greatest, Operation, Projection, Row, Sum, on_event, table, upsert


@table(key=("week", "service"))
class DeploysPerWeek(Row, frozen=True):
    """What was shipped of a service in a week."""

    week: Annotated[date, Meta(description="Its Monday, in UTC.")]
    service: Annotated[str, Meta(description="metadata.service as it was sent; (none) where it was not.")]
    deploys: Sum[int]
    seconds: Annotated[Sum[int], Meta(description="How long all of them took together.")]
    slowest_seconds: Greatest[int]


class Deploys(Projection):
    """Counts `deploy.shipped`. Nobody asks who shipped, so workers are not looked up."""

    name = "deploys"
    version = 1
    tables = (DeploysPerWeek,)
    resolves_workers = False

    @on_event("deploy.shipped")
    def count(self, event: Event) -> Operation:
        """One more; a service that is not text parks the event."""
        day = event.occurred_at.date()
        seconds = round(event.duration or 0)
        return upsert(
            DeploysPerWeek(
                org_id=event.org_id,
                week=day - timedelta(days=day.weekday()),
                service=event.metadata.get("service", "(none)"),
                deploys=1,
                seconds=seconds,
                slowest_seconds=seconds,
            )
        )
