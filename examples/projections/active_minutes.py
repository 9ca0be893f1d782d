"""Active minutes per worker and day: in how many minutes of a day something of theirs happened or was going on.

Run it with `wepeople projection run examples/projections/active_minutes.py`, read it in `active_minutes.per_day`.
"""

from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from typing import Annotated, ClassVar

from msgspec import Meta

from wepeople_projections import Event, Operation, Projection, Row, SmallInt, Sum, add, on_event, table

LONGEST_MINUTES = 240


@table(key=("day", "worker_id", "minute"))
class ActiveMinute(Row, frozen=True):
    """A minute in which a worker was active. Several events in it are one minute, whatever their order."""

    day: date
    worker_id: str
    minute: Annotated[SmallInt, Meta(description="Of the day, from 0 to 1439, UTC.")]
    events: Annotated[Sum[int], Meta(description="Events that ended in it; 0 where one was only going on.")]


class ActiveMinutes(Projection):
    """An event with a duration was going on until it happened: for four hours at most, so that a typing error of a
    sender does not fill a year.
    """

    name = "active_minutes"
    version = 1
    tables = (ActiveMinute,)
    views: ClassVar[Mapping[str, str]] = {
        "per_day": "SELECT org_id, day, worker_id, count(*) AS minutes, sum(events)::bigint AS events "
        "FROM {schema}.active_minute GROUP BY org_id, day, worker_id"
    }

    @on_event()
    def mark(self, event: Event) -> Iterator[Operation]:
        """The minute in which it ended, and those before it in which it was going on."""
        end = event.occurred_at
        last = end.replace(second=0, microsecond=0)
        going_on = timedelta(seconds=min(event.duration or 0, LONGEST_MINUTES * 60))
        minute = (end - going_on).replace(second=0, microsecond=0)
        while minute <= last:
            of_day = minute.hour * 60 + minute.minute
            yield add(ActiveMinute(event.org_id, minute.date(), event.worker_id, of_day, int(minute == last)))
            minute += timedelta(minutes=1)
