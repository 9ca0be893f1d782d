"""Histories of two orgs, each with two apps and a directory, drawn at random."""

from collections.abc import Iterable, Sequence

import msgspec
from hypothesis import strategies as st

from tests.support.stored import data_of, envelope, founded, id_of, imported, raw, subject_of
from wepeople_chassis.stream import StoredMessage
from wepeople_contracts.directory import DirectoryFact, normalize_email
from wepeople_contracts.envelope import AcceptedRow, Envelope
from wepeople_contracts.ids import client_event_id, worker_id

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
