"""What holds for any history of an org and any batching of it: workers, and events that their senders named."""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tests.support.stored import data_of, envelope, founded, id_of, imported, raw, subject_of
from wepeople_chassis.stream import StoredMessage
from wepeople_contracts.directory import DirectoryFact
from wepeople_contracts.envelope import AcceptedRow, Envelope
from wepeople_contracts.ids import client_event_id, worker_id
from wepeople_projector.decode import Request, decode
from wepeople_projector.fold import Changeset, Fold
from wepeople_projector.identity import Conflicted, Identifier, claim_of
from wepeople_projector.memory import Memory

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


@st.composite
def messages(draw: st.DrawFn) -> Message:
    org = draw(st.sampled_from(ORGS))
    if draw(st.integers(0, 4)) == 0:
        return imported(org, *((e, "") for e in draw(st.lists(st.sampled_from(EMAILS), min_size=1, max_size=3))))
    app = draw(st.sampled_from(APPS))
    rows = draw(st.lists(st.tuples(actors, st.sampled_from(NAMES), st.booleans()), min_size=1, max_size=4))
    request = envelope(org, [event(actor) for actor, _, _ in rows], app_id=f"{org}_{app}", slug=app)
    return named(request, [name for _, name, _ in rows], [flagged for _, _, flagged in rows])


def event(actor: dict[str, Any]) -> bytes:
    return raw({"eventType": "x", "category": "code", "actor": actor})


def named(request: Envelope, names: Sequence[str | None], flags: Sequence[bool]) -> Envelope:
    """The request with its rows named by their sender, and some of those flagged as duplicates."""
    accepted = [
        row if name is None else AcceptedRow(row.index, client_event_id(request.app_id, name), row.raw, True, flagged)
        for row, name, flagged in zip(request.accepted, names, flags, strict=True)
    ]
    return msgspec.structs.replace(request, accepted=accepted)


histories = st.lists(messages(), max_size=12).map(lambda found: [founded("org_a"), founded("org_b"), *found])


def stored(history: Iterable[Message]) -> list[StoredMessage]:
    return [
        StoredMessage(sequence, subject_of(message), id_of(message), 0, data_of(message))
        for sequence, message in enumerate(history, 1)
    ]


@dataclass
class Tables:
    """What the database would hold."""

    bindings: dict[Identifier, str] = field(default_factory=dict)
    workers: dict[tuple[str, str], list[list[str]]] = field(default_factory=dict)
    conflicts: dict[Conflicted, int] = field(default_factory=dict)
    events: dict[str, tuple[str, int, int]] = field(default_factory=dict)

    def find(self, identifier: Identifier) -> str | None:
        if identifier.kind == "workerId":
            return identifier.value if (identifier.org_id, identifier.value) in self.workers else None
        return self.bindings.get(identifier)

    def write(self, changes: Changeset) -> None:
        assert not changes.parked
        for (org, worker), change in changes.workers.changed.items():
            if change.founded_at_us is not None:
                assert (org, worker) not in self.workers, "founded twice"
                self.workers[org, worker] = [[], [], []]
            for have, more in zip(
                self.workers[org, worker], (change.emails, change.external_ids, change.connections), strict=True
            ):
                have.extend(value for value in more if value not in have)
        assert not self.bindings.keys() & changes.workers.bound.keys(), "bound twice"
        self.bindings |= changes.workers.bound
        self.conflicts = {c: at for c, (at, _) in changes.workers.conflicts.items()} | self.conflicts
        for block in changes.timeline:
            for row in block.rows:
                assert row.event_id not in self.events, "in the timeline twice"
                self.events[row.event_id] = (row.worker_id, block.sequence, row.row_index)


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


def test_a_worker_id_that_named_nobody_is_heeded_once_its_worker_exists() -> None:
    later = worker_id(founded("org_a").salt, "externalId", "org_a_1", "e1")
    actors = ({"workerId": later, "externalId": "e2"}, {"externalId": "e1"}, {"workerId": later, "externalId": "e2"})
    requests = [envelope("org_a", [event(actor)], app_id="org_a_1") for actor in actors]
    for sizes in ([4], [1, 1, 1, 1], [2, 2]):
        tables = project(stored([founded("org_a"), *requests]), sizes)
        before, _, after = (tables.events[request.accepted[0].event_id][0] for request in requests)
        assert before == worker_id(founded("org_a").salt, "externalId", "org_a_1", "e2")
        assert after == later


@given(histories, st.lists(st.integers(1, 5), max_size=12))
def test_any_batching_gives_the_same_workers_bindings_conflicts_and_events(
    history: list[Message], sizes: list[int]
) -> None:
    whole = project(stored(history), [len(history)])
    assert project(stored(history), sizes) == whole
    assert project(stored(history), sizes, restarts=True) == whole


def without_later_namesakes(history: Iterable[Message]) -> list[Message]:
    """The history as if nobody had sent an event again whose name was in it before."""
    seen: set[str] = set()
    kept: list[Message] = []
    for message in history:
        if not isinstance(message, Envelope):
            kept.append(message)
            continue
        first = []
        for row in message.accepted:
            if not (row.named and row.event_id in seen):
                first.append(row)
                seen.add(row.event_id)
        kept.append(msgspec.structs.replace(message, accepted=first))
    return kept


@given(histories, st.lists(st.integers(1, 5), max_size=12))
def test_an_event_sent_again_under_its_name_leaves_no_trace_at_all(history: list[Message], sizes: list[int]) -> None:
    assert project(stored(history), sizes) == project(stored(without_later_namesakes(history)))


@given(histories)
def test_the_first_event_of_a_name_is_in_the_timeline_flagged_or_not(history: list[Message]) -> None:
    firsts: dict[str, tuple[int, int]] = {}
    for sequence, message in enumerate(history, 1):
        for row in message.accepted if isinstance(message, Envelope) else ():
            firsts.setdefault(row.event_id, (sequence, row.index))
    events = project(stored(history)).events
    assert {event_id: (sequence, index) for event_id, (_, sequence, index) in events.items()} == firsts


def test_the_same_name_from_another_app_is_another_event() -> None:
    requests = [envelope("org_a", [event({"email": "m1@x"})], app_id=f"org_a_{app}") for app in APPS]
    history: list[Message] = [founded("org_a"), *(named(request, ["n1"], [False]) for request in requests)]
    assert len(project(stored(history), [3]).events) == len(APPS)


@given(histories)
def test_no_row_is_ever_given_to_a_worker_of_another_org(history: list[Message]) -> None:
    tables = project(stored(history))
    for message in history:
        if isinstance(message, Envelope):
            workers = {tables.events[row.event_id][0] for row in message.accepted}
            assert all((message.org_id, worker) in tables.workers for worker in workers)
    assert not {w for org, w in tables.workers if org == "org_a"} & {w for org, w in tables.workers if org == "org_b"}
    assert all((i.org_id, worker) in tables.workers for i, worker in tables.bindings.items())


@given(histories)
def test_an_identifier_that_is_overruled_leaves_a_record_and_keeps_its_worker(
    history: list[Message],
) -> None:
    history = without_later_namesakes(history)
    tables = project(stored(history))
    recorded = {(c.identifier, c.worker_id): c.other for c in tables.conflicts}
    for request in (decoded for decoded in map(decode, stored(history)) if isinstance(decoded, Request)):
        for seen in request.rows:
            (org, app, _), *names = seen.sighting
            claim = claim_of(org, app, *names)
            assert claim is not None
            given_to, _, _ = tables.events[seen.accepted.event_id]
            for identifier in claim.identifiers:
                assert tables.find(identifier) == given_to or (identifier, given_to) in recorded
    assert all(other is None or tables.find(i) == other for (i, _), other in recorded.items())
