"""Histories of two orgs, each with two apps and a directory, drawn at random; and what the fold makes of them."""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec
from hypothesis import strategies as st

from tests.support.stored import data_of, envelope, founded, id_of, imported, raw, subject_of
from wepeople_chassis.stream import StoredMessage
from wepeople_contracts.directory import DirectoryFact, normalize_email
from wepeople_contracts.envelope import AcceptedRow, Envelope
from wepeople_contracts.ids import client_event_id, worker_id
from wepeople_projector.decode import decode
from wepeople_projector.fold import Changeset, Fold
from wepeople_projector.identity import Conflicted, Identifier
from wepeople_projector.memory import Memory
from wepeople_projector.projections.snapshots.rows import LatestSnapshot, SnapshotKey, keep_newest

Message = Envelope | DirectoryFact

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
    """What the database would hold. An event is (worker, sequence, row index), by its id."""

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

    def write(self, changes: Changeset) -> None:
        """Write a batch, as the projector's transaction does."""
        assert not changes.parked
        for (org, worker), change in changes.workers.changed.items():
            if change.founded_at_us is not None:
                assert (org, worker) not in self.workers, "founded twice"
                self.workers[org, worker] = Worker()
            row = self.workers[org, worker]
            row.name = change.name or row.name
            row.in_directory |= change.in_directory
            for column in ("emails", "external_ids", "connections"):
                have: list[str] = getattr(row, column)
                have.extend(value for value in getattr(change, column) if value not in have)
        assert not self.bindings.keys() & changes.workers.bound.keys(), "bound twice"
        self.bindings |= changes.workers.bound
        self.conflicts = {c: at for c, (at, _) in changes.workers.conflicts.items()} | self.conflicts
        for block in changes.timeline:
            for event in block.rows:
                assert event.event_id not in self.events, "in the timeline twice"
                self.events[event.event_id] = (event.worker_id, block.sequence, event.row_index)
        for latest in changes.snapshots.values():
            keep_newest(self.snapshots, latest)


def project(history: Sequence[StoredMessage], sizes: Sequence[int] = (), *, restarts: bool = False) -> Tables:
    """Fold a history in batches of these sizes (then one by one), writing each batch one step late, as the runner may;
    or with a restart, that forgets everything, after every batch.
    """
    tables, salts = Tables(), dict[str, bytes]()
    memory, late = Memory(salts), deque[Changeset]()
    rest = deque(history)
    lengths = deque(sizes)
    while rest:
        length = lengths.popleft() if lengths else 1
        fold = Fold(memory, [decode(rest.popleft()) for _ in range(min(length, len(rest)))])
        identifiers, event_ids = fold.unknown()
        fold.begin(
            {identifier: tables.find(identifier) for identifier in identifiers}, event_ids & tables.events.keys()
        )
        for message in fold.messages:
            fold.apply(message)
        late.append(fold.changes)
        while late and (restarts or len(late) > 1):
            tables.write(late.popleft())
            memory.commit_batch()
        if restarts:
            memory = Memory(dict(salts := memory.salts))
    for changes in late:
        tables.write(changes)
    return tables
