"""Folds messages into tables in memory, in whatever batches a test asks for; and a projection that keeps everything."""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import TypeVar, cast

from tests.support.stored import data_of, id_of, subject_of
from wepeople_chassis.stream import StoredMessage
from wepeople_contracts.directory import DirectoryFact
from wepeople_contracts.envelope import Envelope
from wepeople_projections import (
    Event,
    Fact,
    First,
    Greatest,
    Identified,
    Instant,
    Known,
    Operation,
    Projection,
    Reject,
    Request,
    Row,
    Snapshot,
    United,
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
from wepeople_projections.batch.changes import Changes
from wepeople_projections.batch.tables import MemoryTables
from wepeople_projections.definition.projection import Definition, define
from wepeople_projections.definition.selection import Selection
from wepeople_projections.folding.decode import decode
from wepeople_projections.folding.fold import Fold
from wepeople_projections.folding.memory import Memory, Place

EVERYTHING = Selection()


@table(key=("event_id",), key_is_global=True)
class Happened(Row, frozen=True):
    event_id: str
    worker_id: str
    sequence: int
    row_index: int
    event_type: str
    category: str
    occurred_at: Instant
    duration: float | None
    metadata: bytes | None


@table(key=("worker_id",))
class Person(Row, frozen=True):
    worker_id: str
    name: Known[str | None]
    in_directory: Greatest[bool]
    emails: United[list[str]]
    external_ids: United[list[str]]
    connections: United[list[str]]
    founded_at: First[Instant]


@table(key=("kind", "scope", "value", "reason", "worker_id"))
class Disagreement(Row, frozen=True):
    kind: str
    scope: str
    value: str
    reason: str
    worker_id: str
    other: First[str | None]
    sequence: First[int]


@table(key=("worker_id", "connection", "snapshot_type"), newest_by=("observed_at", "sequence"))
class Latest(Row, frozen=True):
    worker_id: str
    connection: str
    snapshot_type: str
    observed_at: Instant
    sequence: int
    metrics: bytes


@table(key=("request_id",), key_is_global=True)
class Asked(Row, frozen=True):
    request_id: str
    sequence: int
    accepted: int
    rejected: int


@table(key=("sequence", "row_index"))
class Refused(Row, frozen=True):
    sequence: int
    row_index: int
    raw: bytes


@table(key=("sequence",))
class Noted(Row, frozen=True):
    sequence: int
    what: str


class Everything(Projection):
    """A row for each thing that a handler can be given."""

    name = "everything"
    version = 1
    tables = (Happened, Person, Disagreement, Latest, Asked, Refused, Noted)

    @on_event()
    def happened(self, event: Event) -> Operation:
        return insert(
            Happened(
                event.org_id,
                event.event_id,
                event.worker_id,
                event.request.sequence,
                event.index,
                event.event_type,
                event.category,
                event.occurred_at_us,
                event.duration,
                event.metadata_raw,
            )
        )

    @on_identified()
    def identified(self, seen: Identified) -> Iterator[Operation]:
        person = Person(
            seen.org_id,
            seen.worker_id,
            seen.imported_name or None,
            seen.imported_name is not None,
            [identifier.value for identifier in seen.bound if identifier.kind == "email"],
            [identifier.value for identifier in seen.bound if identifier.kind == "externalId"],
            [] if seen.connection is None else [seen.connection],
            seen.at_us,
        )
        yield insert(person) if seen.founded else upsert(person)
        for (_, kind, scope, value), reason, worker_id, other in seen.conflicts:
            yield upsert(Disagreement(seen.org_id, kind, scope, value, reason, worker_id, other, seen.sequence))

    @on_snapshot()
    def latest(self, snapshot: Snapshot) -> Operation:
        return upsert(
            Latest(
                snapshot.org_id,
                snapshot.worker_id,
                snapshot.connection,
                snapshot.snapshot_type,
                snapshot.observed_at_us,
                snapshot.request.sequence,
                snapshot.metrics_raw,
            )
        )

    @on_request()
    def asked(self, request: Request) -> Operation:
        return insert(Asked(request.org_id, request.request_id, request.sequence, request.accepted, request.rejected))

    @on_reject()
    def refused(self, reject: Reject) -> Operation:
        request, row = reject.request, reject.row
        return insert(Refused(request.org_id, request.sequence, row.index, row.raw))

    @on_fact()
    def noted(self, fact: Fact) -> Operation:
        return insert(Noted(fact.org_id, fact.sequence, type(fact.body).__name__))


EVERYTHING_KEPT = define(Everything)


R = TypeVar("R", bound=Row)


def rows_of(tables: MemoryTables, kind: type[R]) -> list[R]:
    """A table's rows, in the order of its key."""
    return cast("list[R]", tables.rows(kind.__table__))


def stored(*contents: Envelope | DirectoryFact, first: int = 1) -> list[StoredMessage]:
    """Messages as the stream has them, from a sequence on, each stored a second after the one before."""
    return [
        StoredMessage(sequence, subject_of(content), id_of(content), sequence * 1_000_000_000, data_of(content))
        for sequence, content in enumerate(contents, first)
    ]


def begun(
    definition: Definition,
    messages: Sequence[StoredMessage],
    tables: MemoryTables,
    memory: Memory,
    selection: Selection = EVERYTHING,
) -> Fold:
    """A batch whose messages are admitted, with all looked up that it needs."""
    fold = Fold(definition, selection, memory, [decode(message, definition) for message in messages])
    identifiers, names = fold.unknown()
    fold.begin(tables.bindings(identifiers), tables.taken(names))
    return fold


def fold(
    definition: Definition, messages: Sequence[StoredMessage], selection: Selection = EVERYTHING
) -> tuple[MemoryTables, Memory]:
    """The tables after one batch of these messages; what they cannot hold fails the test."""
    tables, memory = MemoryTables(), Memory({})
    batch = begun(definition, messages, tables, memory, selection)
    for message in batch.messages:
        batch.apply(message)
    tables.write(batch.changes)
    memory.commit_batch()
    return tables, memory


def build(
    definition: Definition,
    messages: Sequence[StoredMessage],
    sizes: Sequence[int] = (),
    *,
    restarts: bool = False,
    selection: Selection = EVERYTHING,
) -> MemoryTables:
    """The tables after batches of these sizes (then one by one), each written one step late, as an engine may; or with
    a restart, that forgets everything, after every batch. Batches of an even number fold their messages one by one.
    """
    tables, memory, late = MemoryTables(), Memory({}), deque[Changes]()
    rest, lengths = deque(messages), deque(sizes)
    while rest:
        length = lengths.popleft() if lengths else 1
        batch = [rest.popleft() for _ in range(min(length, len(rest)))]
        late.append(_folded(definition, batch, tables, memory, selection))
        while late and (restarts or len(late) > 1):
            tables.write(late.popleft())
            memory.commit_batch()
        if restarts:
            memory = Memory(tables.salts(), blocked_by(tables) if definition.ordered else {})
    for changes in late:
        tables.write(changes)
    return tables


def blocked_by(tables: MemoryTables) -> dict[tuple[str, str], Place]:
    """Which workers wait, as whoever starts anew reads it."""
    blocked: dict[tuple[str, str], Place] = {}
    for parked in sorted(tables.parked, key=lambda row: (row.message.sequence, row.row_index)):
        if parked.worker_id or parked.row_index < 0:
            key = (parked.org_id, parked.worker_id)
            blocked.setdefault(key, (parked.message.sequence, parked.row_index))
    return blocked


def _folded(
    definition: Definition,
    batch: Sequence[StoredMessage],
    tables: MemoryTables,
    memory: Memory,
    selection: Selection,
) -> Changes:
    fold = Fold(definition, selection, memory)
    groups = [[message] for message in batch] if len(batch) % 2 == 0 else [list(batch)]
    for group in groups:
        messages = fold.admit(decode(message, definition) for message in group)
        identifiers, names = fold.unknown()
        fold.begin(tables.bindings(identifiers), tables.taken(names))
        for message in messages:
            fold.apply(message)
    return fold.changes
