"""Histories of two orgs, each with two apps and a directory, drawn at random; and what `live` makes of them."""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar, cast

import msgspec
from hypothesis import strategies as st

from tests.support.stored import data_of, envelope, founded, id_of, imported, raw, subject_of
from wepeople_chassis.stream import StoredMessage
from wepeople_contracts.directory import DirectoryFact, normalize_email
from wepeople_contracts.envelope import AcceptedRow, Envelope
from wepeople_contracts.ids import client_event_id, worker_id
from wepeople_projections.changes import Changes
from wepeople_projections.decode import decode
from wepeople_projections.fold import Fold
from wepeople_projections.identity import Conflicted, Identifier, Kind, Reason
from wepeople_projections.memory import Memory
from wepeople_projections.projection import define
from wepeople_projections.selection import Selection
from wepeople_projections.table import Row
from wepeople_projections.tables import MemoryTables
from wepeople_projector.models.live import Live
from wepeople_projector.models.snapshots import LatestSnapshot
from wepeople_projector.models.timeline import TimelineEvent
from wepeople_projector.models.workers import IdentityConflict
from wepeople_projector.models.workers import Worker as WorkerRow

Message = Envelope | DirectoryFact
SnapshotKey = tuple[str, str, str, str]
"""Org, worker, connection and snapshot type."""

LIVE = define(Live)
R = TypeVar("R", bound=Row)

ORGS = ("org_a", "org_b")
APPS = ("1", "2")
EXTERNAL_IDS = ("e1", "e2", "e3")
EMAILS = ("m1@x", "m2@x", " M1@X ")
NAMES = (None, "n1", "n2", "n3")
IDS_IN_USE = [worker_id(founded(org).salt, "externalId", f"{org}_1", "e1") for org in ORGS]
IDS_IN_USE += [worker_id(founded(org).salt, "email", org, "m1@x") for org in ORGS]

actors = st.fixed_dictionaries(
    {},
    optional={
        "workerId": st.sampled_from([*IDS_IN_USE, "nobody"]),
        "externalId": st.sampled_from(EXTERNAL_IDS),
        "email": st.sampled_from(EMAILS),
    },
).filter(bool)


people = st.tuples(st.sampled_from(EMAILS).map(normalize_email), st.sampled_from(("", "Alex", "Bo")))


@st.composite
def messages(draw: st.DrawFn) -> Message:
    """What an org's apps and its directory may store: events, snapshots, imports."""
    org, app = draw(st.sampled_from(ORGS)), draw(st.sampled_from(APPS))
    kind = draw(st.sampled_from(("import", "snapshot", "events", "events", "events")))
    if kind == "import":
        return imported(org, *draw(st.lists(people, min_size=1, max_size=3)))
    if kind == "snapshot":
        return envelope(org, [snapshot(draw(actors))], app_id=f"{org}_{app}", slug=app, kind="snapshot")
    rows = draw(st.lists(st.tuples(actors, st.sampled_from(NAMES), st.booleans()), min_size=1, max_size=4))
    request = envelope(org, [event(actor) for actor, _, _ in rows], app_id=f"{org}_{app}", slug=app)
    return named(request, [name for _, name, _ in rows], [flagged for _, _, flagged in rows])


def event(actor: dict[str, str]) -> bytes:
    """An event's row."""
    return raw({"eventType": "x", "category": "code", "actor": actor})


def snapshot(actor: dict[str, str]) -> bytes:
    """A snapshot's row."""
    return raw({"snapshotType": "gauge", "actor": actor, "metrics": {"n": 1}})


def named(request: Envelope, names: Sequence[str | None], flags: Sequence[bool]) -> Envelope:
    """The request with its rows named by their sender, and some of those flagged as duplicates."""
    accepted = [
        row if name is None else AcceptedRow(row.index, client_event_id(request.app_id, name), row.raw, True, flagged)
        for row, name, flagged in zip(request.accepted, names, flags, strict=True)
    ]
    return msgspec.structs.replace(request, accepted=accepted)


histories = st.lists(messages(), max_size=12).map(lambda found: [founded("org_a"), founded("org_b"), *found])


def stored(history: Iterable[Message]) -> list[StoredMessage]:
    """The history as the stream has it, from sequence 1 on."""
    return [
        StoredMessage(sequence, subject_of(message), id_of(message), 0, data_of(message))
        for sequence, message in enumerate(history, 1)
    ]


@dataclass
class Worker:
    """A worker's row."""

    name: str = ""
    in_directory: bool = False
    emails: list[str] = field(default_factory=list)
    external_ids: list[str] = field(default_factory=list)
    connections: list[str] = field(default_factory=list)


@dataclass
class Tables:
    """What the database would hold. An event is (worker, sequence, row index), by its id; a conflict's sequence is that
    of the first row that had it.
    """

    bindings: dict[Identifier, str] = field(default_factory=dict)
    workers: dict[tuple[str, str], Worker] = field(default_factory=dict)
    conflicts: dict[Conflicted, int] = field(default_factory=dict)
    events: dict[str, tuple[str, int, int]] = field(default_factory=dict)
    snapshots: dict[SnapshotKey, LatestSnapshot] = field(default_factory=dict)

    def find(self, identifier: Identifier) -> str | None:
        """The worker that an identifier is bound to."""
        if identifier.kind == "workerId":
            return identifier.value if (identifier.org_id, identifier.value) in self.workers else None
        return self.bindings.get(identifier)


class Projected:
    """A history on its way into tables in memory, batch by batch; each is written one step late, as the engine may."""

    def __init__(self, *, restarts: bool = False) -> None:
        self.tables = MemoryTables()
        self.bound: dict[Identifier, str] = {}
        self._restarts = restarts
        self._memory = Memory({})
        self._late: deque[Changes] = deque()

    def apply(self, batch: Sequence[StoredMessage]) -> None:
        """Fold a batch; with restarts, everything but the tables is forgotten after it."""
        fold = Fold(LIVE, Selection(), self._memory, [decode(message, LIVE) for message in batch])
        identifiers, event_ids = fold.unknown()
        fold.begin(self.tables.bindings(identifiers), self.tables.taken(event_ids))
        for message in fold.messages:
            fold.apply(message)
        self._late.append(fold.changes)
        self.write(0 if self._restarts else 1)
        if self._restarts:
            self._memory = Memory(self.tables.salts())

    def write(self, late: int = 0) -> None:
        """Write all but the newest `late` batches."""
        while len(self._late) > late:
            changes = self._late.popleft()
            self.tables.write(changes)
            self.bound |= changes.bound
            self._memory.commit_batch()


def projected(history: Sequence[StoredMessage], sizes: Sequence[int] = (), *, restarts: bool = False) -> Projected:
    """Project a history in batches of these sizes (then one by one)."""
    made, rest, lengths = Projected(restarts=restarts), deque(history), deque(sizes)
    while rest:
        length = lengths.popleft() if lengths else 1
        made.apply([rest.popleft() for _ in range(min(length, len(rest)))])
    made.write()
    return made


def project(history: Sequence[StoredMessage], sizes: Sequence[int] = (), *, restarts: bool = False) -> Tables:
    """What the tables come to when nothing had to be parked."""
    made = projected(history, sizes, restarts=restarts)
    assert not made.tables.parked
    return Tables(
        bindings={name: worker for name, worker in made.bound.items() if name.kind != "workerId"},
        workers={
            (w.org_id, w.worker_id): Worker(w.name or "", w.in_directory, w.emails, w.external_ids, w.connections)
            for w in rows_of(made.tables, WorkerRow)
        },
        conflicts={_conflicted(row): row.sequence for row in rows_of(made.tables, IdentityConflict)},
        events={e.event_id: (e.worker_id, e.sequence, e.row_index) for e in rows_of(made.tables, TimelineEvent)},
        snapshots={
            (s.org_id, s.worker_id, s.connection, s.snapshot_type): s for s in rows_of(made.tables, LatestSnapshot)
        },
    )


def rows_of(tables: MemoryTables, row: type[R]) -> list[R]:
    """A table's rows."""
    return cast("list[R]", tables.rows(LIVE.table(row)))


def _conflicted(row: IdentityConflict) -> Conflicted:
    kind, reason = cast("Kind", row.kind), cast("Reason", row.reason)
    return Conflicted(Identifier(row.org_id, kind, row.scope, row.value), reason, row.worker_id, row.other_worker_id)
