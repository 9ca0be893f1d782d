"""Whose row is it? The identity rules one by one, and what holds for any history and any batching of it."""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from tests.support.stored import data_of, envelope, founded, id_of, imported, raw, subject_of
from wepeople_chassis.stream import StoredMessage
from wepeople_contracts.directory import DirectoryFact
from wepeople_contracts.envelope import Envelope
from wepeople_contracts.ids import worker_id
from wepeople_projector.decode import Request, decode
from wepeople_projector.fold import Changeset, Fold
from wepeople_projector.identity import Conflicted, Identifier, IdentityState, Resolution, claim_of, resolve
from wepeople_projector.memory import Memory

SALT = bytes(32)


def resolved(known: dict[Identifier, str], **actor: str) -> Resolution:
    """The resolution of an actor of app `app` when only `known` is bound."""
    claim = claim_of(
        "org", "app", actor.get("worker_id", UNSET), actor.get("external_id", UNSET), actor.get("email", UNSET)
    )
    assert claim is not None
    return resolve(IdentityState({"org": SALT}, {i: known.get(i) for i in claim.identifiers}), claim)


def worker(value: str) -> Identifier:
    return Identifier("org", "workerId", "org", value)


def external(value: str, app: str = "app") -> Identifier:
    return Identifier("org", "externalId", app, value)


def email(value: str) -> Identifier:
    return Identifier("org", "email", "org", value)


def test_an_unknown_external_id_founds_a_worker_whose_id_is_derived_from_it() -> None:
    expected = worker_id(SALT, "externalId", "app", "eng-17")
    assert resolved({}, external_id="eng-17") == Resolution(expected, True, [external("eng-17")], [])


def test_an_unknown_email_founds_a_worker_whatever_its_case_and_spaces() -> None:
    expected = worker_id(SALT, "email", "org", "alex@acme.com")
    assert resolved({}, email=" Alex@ACME.com ") == Resolution(expected, True, [email("alex@acme.com")], [])


def test_the_worker_id_is_stronger_than_the_external_id_and_that_than_the_email() -> None:
    known = {worker("w1"): "w1", external("e"): "w2", email("m"): "w3"}
    assert resolved(known, worker_id="w1", external_id="e", email="m").worker_id == "w1"
    assert resolved(known, external_id="e", email="m").worker_id == "w2"
    assert resolved(known, email="m").worker_id == "w3"


def test_identifiers_seen_together_are_bound_to_the_winner() -> None:
    assert resolved({email("m"): "w3"}, external_id="e", email="m") == Resolution("w3", False, [external("e")], [])


def test_two_established_workers_are_not_merged_but_recorded() -> None:
    known = {external("e"): "w2", email("m"): "w3"}
    conflict = Conflicted(email("m"), "bound_to_another", "w2", "w3")
    assert resolved(known, external_id="e", email="m") == Resolution("w2", False, [], [conflict])


def test_an_unknown_worker_id_beside_another_identifier_is_ignored_and_recorded() -> None:
    conflict = Conflicted(worker("foreign"), "unknown_worker_id", "w2", None)
    assert resolved({external("e"): "w2"}, worker_id="foreign", external_id="e") == Resolution(
        "w2", False, [], [conflict]
    )


def test_an_unknown_worker_id_alone_still_gets_a_worker_and_always_the_same() -> None:
    expected = worker_id(SALT, "workerId", "org", "nobody")
    conflict = Conflicted(worker("nobody"), "unknown_worker_id", expected, None)
    assert resolved({}, worker_id="nobody") == Resolution(expected, True, [], [conflict])
    again = IdentityState({"org": SALT}, {worker("nobody"): None, worker(expected): expected})
    claim = claim_of("org", "app", "nobody", UNSET, UNSET)
    assert claim is not None
    assert resolve(again, claim) == Resolution(expected, False, [], [conflict])


def test_an_actor_that_names_nobody_storable_makes_no_claim() -> None:
    assert claim_of("org", "app", UNSET, "nul\0", " ") is None


# --- any history --------------------------------------------------------------------------------------------------

ORGS = ("org_a", "org_b")
APPS = ("1", "2")
EXTERNAL_IDS = ("e1", "e2", "e3")
EMAILS = ("m1@x", "m2@x", " M1@X ")
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
def messages(draw: st.DrawFn) -> Envelope | DirectoryFact:
    org = draw(st.sampled_from(ORGS))
    if draw(st.integers(0, 4)) == 0:
        return imported(org, *((e, "") for e in draw(st.lists(st.sampled_from(EMAILS), min_size=1, max_size=3))))
    app = draw(st.sampled_from(APPS))
    rows = [
        raw({"eventType": "x", "category": "code", "actor": actor})
        for actor in draw(st.lists(actors, min_size=1, max_size=4))
    ]
    return envelope(org, rows, app_id=f"{org}_{app}", slug=app)


histories = st.lists(messages(), max_size=12).map(lambda found: [founded("org_a"), founded("org_b"), *found])


def stored(history: Iterable[Envelope | DirectoryFact]) -> list[StoredMessage]:
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
    events: dict[str, str] = field(default_factory=dict)

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
        self.events |= {row.event_id: row.worker_id for block in changes.timeline for row in block.rows}


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
        known, asked = fold.unknown()
        fold.begin(known | {identifier: tables.find(identifier) for identifier in asked})
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
    rows = [raw({"eventType": "x", "category": "code", "actor": actor}) for actor in actors]
    requests = [envelope("org_a", [row], app_id="org_a_1") for row in rows]
    for sizes in ([4], [1, 1, 1, 1], [2, 2]):
        tables = project(stored([founded("org_a"), *requests]), sizes)
        before, _, after = (tables.events[request.accepted[0].event_id] for request in requests)
        assert before == worker_id(founded("org_a").salt, "externalId", "org_a_1", "e2")
        assert after == later


@given(histories, st.lists(st.integers(1, 5), max_size=12))
def test_any_batching_gives_the_same_workers_bindings_conflicts_and_events(
    history: list[Envelope | DirectoryFact], sizes: list[int]
) -> None:
    whole = project(stored(history), [len(history)])
    assert project(stored(history), sizes) == whole
    assert project(stored(history), sizes, restarts=True) == whole


@given(histories)
def test_no_row_is_ever_given_to_a_worker_of_another_org(history: list[Envelope | DirectoryFact]) -> None:
    tables = project(stored(history))
    for message in history:
        if isinstance(message, Envelope):
            workers = {tables.events[row.event_id] for row in message.accepted}
            assert all((message.org_id, worker) in tables.workers for worker in workers)
    assert not {w for org, w in tables.workers if org == "org_a"} & {w for org, w in tables.workers if org == "org_b"}
    assert all((i.org_id, worker) in tables.workers for i, worker in tables.bindings.items())


@given(histories)
def test_an_identifier_that_is_overruled_leaves_a_record_and_keeps_its_worker(
    history: list[Envelope | DirectoryFact],
) -> None:
    tables = project(stored(history))
    recorded = {(c.identifier, c.worker_id): c.other for c in tables.conflicts}
    for request in (decoded for decoded in map(decode, stored(history)) if isinstance(decoded, Request)):
        for seen in request.rows:
            (org, app, _), *names = seen.sighting
            claim = claim_of(org, app, *names)
            assert claim is not None
            given_to = tables.events[seen.accepted.event_id]
            for identifier in claim.identifiers:
                assert tables.find(identifier) == given_to or (identifier, given_to) in recorded
    assert all(other is None or tables.find(i) == other for (i, _), other in recorded.items())
