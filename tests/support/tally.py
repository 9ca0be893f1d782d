"""A projection that uses every kind of operation, for tests of what runs projections."""

from collections.abc import Iterable
from decimal import Decimal

from wepeople_projections import (
    Event,
    Fact,
    First,
    Greatest,
    Identified,
    Instant,
    Jsonb,
    Known,
    Least,
    Operation,
    Projection,
    RawText,
    Reject,
    Request,
    Row,
    Snapshot,
    Sum,
    United,
    add,
    delete,
    insert,
    on_event,
    on_fact,
    on_identified,
    on_reject,
    on_request,
    on_snapshot,
    table,
    upsert,
)

POISON = "poison.pill"
"""An event of this type makes the handler raise."""
UNFIT = "unfit.value"
"""An event of this type comes to a value that Postgres refuses."""


@table(key=("event_id",), key_is_global=True)
class Seen(Row, frozen=True):
    """An event."""

    event_id: str
    worker_id: str
    sequence: int
    event_type: str
    metadata: Jsonb | None
    metadata_raw: RawText | None


@table(key=("worker_id",))
class Person(Row, frozen=True):
    """What is known of a worker."""

    worker_id: str
    first_sequence: First[int]
    earliest: Least[Instant]
    connections: United[list[str]]
    name: Known[str | None]
    conflicts: Sum[int]


@table(key=("worker_id", "event_type"))
class Count(Row, frozen=True):
    """How often, for how long, and when last."""

    worker_id: str
    event_type: str
    events: Sum[int]
    seconds: Sum[Decimal]
    latest: Greatest[Instant]


@table(key=("connection",))
class Load(Row, frozen=True):
    """What an app sent."""

    connection: str
    events: int
    seconds: Decimal


@table(key=("worker_id", "connection"), newest_by=("observed_at", "sequence"))
class Gauge(Row, frozen=True):
    """The newest snapshot."""

    worker_id: str
    connection: str
    observed_at: Instant
    sequence: int
    metrics: Jsonb


@table(key=("worker_id",))
class Busy(Row, frozen=True):
    """Who is at something: begun, and not ended."""

    worker_id: str
    since: Instant


@table(key=("request_id", "row_index"), expires_by="kept_until")
class Refusal(Row, frozen=True):
    """A rejected row, kept for two milliseconds."""

    request_id: str
    row_index: int
    code: str
    kept_until: Instant


@table(key=("request_id",))
class Arrival(Row, frozen=True):
    """A request or a fact."""

    request_id: str
    sequence: int
    rows: int


class Tally(Projection):
    """All of it."""

    name = "tally"
    version = 1
    tables = (Seen, Person, Count, Load, Gauge, Busy, Refusal, Arrival)

    @on_request()
    def arrived(self, request: Request) -> Operation:
        """Each request."""
        return insert(Arrival(request.org_id, request.request_id, request.sequence, request.accepted))

    @on_fact()
    def told(self, fact: Fact) -> Operation:
        """Each fact."""
        return insert(Arrival(fact.org_id, fact.body.fact_id, fact.sequence, 0))

    @on_reject()
    def refused(self, reject: Reject) -> Operation:
        """Each rejected row."""
        request = reject.request
        kept_until = request.stored_at_us + 2_000
        return upsert(Refusal(request.org_id, request.request_id, reject.row.index, reject.row.code, kept_until))

    @on_identified()
    def identified(self, who: Identified) -> Operation:
        """What is learnt of a worker."""
        connections = [who.connection] if who.connection else []
        name, conflicts = who.imported_name or None, len(who.conflicts)
        return upsert(Person(who.org_id, who.worker_id, who.sequence, who.at_us, connections, name, conflicts))

    @on_event()
    def happened(self, event: Event) -> Iterable[Operation]:
        """Each event."""
        if event.event_type == POISON:
            raise ValueError(f"no {event.metadata['name']}")
        org, worker = event.org_id, event.worker_id
        event_type = "\0" if event.event_type == UNFIT else event.event_type
        raw = event.metadata_raw
        yield insert(Seen(org, event.event_id, worker, event.request.sequence, event_type, raw, raw))
        seconds = Decimal(str(event.duration or 0))
        yield upsert(Count(org, worker, event.event_type, 1, seconds, event.occurred_at_us))
        yield add(Load(org, event.connection, 1, seconds))
        if event.event_type == "begin":
            yield upsert(Busy(org, worker, event.occurred_at_us))
        elif event.event_type == "end":
            yield delete(Busy, org, worker)

    @on_snapshot()
    def stands(self, snapshot: Snapshot) -> Operation:
        """Each snapshot."""
        at_us, sequence = snapshot.observed_at_us, snapshot.request.sequence
        return upsert(
            Gauge(snapshot.org_id, snapshot.worker_id, snapshot.connection, at_us, sequence, snapshot.metrics_raw)
        )


class OrderedTally(Tally):
    """The same, where a worker's rows wait behind a parked one."""

    name = "ordered_tally"
    ordered = True


class Counts(Projection):
    """What each app sent, whoever it is about."""

    name = "counts"
    version = 1
    tables = (Load,)
    resolves_workers = False

    @on_event()
    def happened(self, event: Event) -> Operation:
        """Each event."""
        return add(Load(event.org_id, event.connection, 1, Decimal(str(event.duration or 0))))
