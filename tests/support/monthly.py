"""A projection with a table that is kept by month, and events of all years."""

from datetime import date
from typing import Any

from tests.support.engines import Ground
from tests.support.stored import envelope, raw
from wepeople_contracts.envelope import Envelope
from wepeople_projections import Event, Instant, Operation, Projection, Row, Sum, add, insert, on_event, table
from wepeople_projections.definition.projection import Definition
from wepeople_projections.running.retention import Retention

ORG = "org_a"
DAY_IN_JUNE = date(2026, 6, 15)


@table(
    key=("event_id", "at"), indexes=(("org_id", "worker_id", "-at"),), key_is_global=True, by_month="at", keep_days=60
)
class Happened(Row, frozen=True):
    """An event."""

    event_id: str
    at: Instant
    worker_id: str
    event_type: str


@table(key=("day", "event_type"), by_month="day")
class PerDay(Row, frozen=True):
    """A day's events; kept for ever."""

    day: date
    event_type: str
    events: Sum[int]


class Monthly(Projection):
    """Each event, and how many there are in a day."""

    name = "monthly"
    version = 1
    tables = (Happened, PerDay)

    @on_event()
    def take(self, event: Event) -> list[Operation]:
        return [
            insert(Happened(event.org_id, event.event_id, event.occurred_at_us, event.worker_id, event.event_type)),
            add(PerDay(event.org_id, event.occurred_at.date(), event.event_type, 1)),
        ]


def at(*moments: str, org: str = ORG, **fields: Any) -> Envelope:
    """A request with an event of each of these moments, of a type that says its month."""
    rows = [
        {"eventType": f"m.{moment[:7]}", "category": "code", "actor": {"externalId": "w"}, "timestamp": moment}
        for moment in moments
    ]
    return envelope(org, [raw(row | fields) for row in rows])


def retention(ground: Ground, definition: Definition, overdue: list[int], today: date = DAY_IN_JUNE) -> Retention:
    """One that believes it is that day, and says each time how many months are overdue."""
    return Retention(ground.pool, definition, None, overdue.append, lambda: today)


async def drop(ground: Ground, definition: Definition, today: date = DAY_IN_JUNE) -> list[int]:
    """Drop what is too old on that day; how many months were overdue, before and after."""
    overdue: list[int] = []
    assert await retention(ground, definition, overdue, today).drop()
    return overdue


async def happened(ground: Ground, schema: str = "monthly_v1") -> list[str]:
    """The months of all events that are there."""
    rows = await ground.rows(f"SELECT to_char(at AT TIME ZONE 'UTC', 'YYYY-MM') AS m FROM {schema}.happened ORDER BY 1")
    return [row["m"] for row in rows]


async def pieces(ground: Ground, table: str = "happened", schema: str = "monthly_v1") -> list[str]:
    """The names of a table's pieces."""
    rows = await ground.rows(
        "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
        f"WHERE i.inhparent = '{schema}.{table}'::regclass ORDER BY 1"
    )
    return [row["relname"].removeprefix(f"{table} ") for row in rows]
