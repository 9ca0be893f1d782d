"""What holds for any history of an org and any batching of it: workers, named events, and what is parked."""

from collections.abc import Iterable, Iterator

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tests.support.folding import EVERYTHING_KEPT, Everything, Happened, Latest, Person, build, rows_of
from tests.support.histories import APPS, EMAILS, EXTERNAL_IDS, ORGS, Message, event, histories, named, stored
from tests.support.stored import envelope, founded
from wepeople_contracts.directory import normalize_email
from wepeople_contracts.envelope import Envelope
from wepeople_contracts.ids import worker_id
from wepeople_projections import Event, Identified, Operation, on_event, on_identified
from wepeople_projections.batch.tables import MemoryTables
from wepeople_projections.definition.projection import Definition, define
from wepeople_projections.folding.identity import Identifier

IDENTIFIERS = [
    *(Identifier(org, "externalId", f"{org}_{app}", value) for org in ORGS for app in APPS for value in EXTERNAL_IDS),
    *(Identifier(org, "email", org, value) for org in ORGS for value in {normalize_email(email) for email in EMAILS}),
]
sizes_of_batches = st.lists(st.integers(1, 5), max_size=12)


def contents(definition: Definition, tables: MemoryTables) -> list[object]:
    """All that is in the tables, and what is parked."""
    parked = sorted((p.message.sequence, p.row_index, p.worker_id, p.waits) for p in tables.parked)
    return [*(tables.rows(spec) for spec in definition.tables), tables.bindings(IDENTIFIERS), parked]


def kept(history: Iterable[Message], sizes: Iterable[int] = (), *, restarts: bool = False) -> MemoryTables:
    return build(EVERYTHING_KEPT, stored(history), list(sizes), restarts=restarts)


def test_a_worker_id_that_named_nobody_is_heeded_once_its_worker_exists() -> None:
    later = worker_id(founded("org_a").salt, "externalId", "org_a_1", "e1")
    actors = ({"workerId": later, "externalId": "e2"}, {"externalId": "e1"}, {"workerId": later, "externalId": "e2"})
    requests = [envelope("org_a", [event(actor)], app_id="org_a_1") for actor in actors]
    for sizes in ([4], [1, 1, 1, 1], [2, 2]):
        tables = kept([founded("org_a"), *requests], sizes)
        workers = {happened.sequence: happened.worker_id for happened in rows_of(tables, Happened)}
        assert workers[2] == worker_id(founded("org_a").salt, "externalId", "org_a_1", "e2")
        assert workers[4] == later


@given(histories, sizes_of_batches)
def test_any_batching_gives_the_same_tables_and_bindings(history: list[Message], sizes: list[int]) -> None:
    whole = contents(EVERYTHING_KEPT, kept(history, [len(history)]))
    assert contents(EVERYTHING_KEPT, kept(history, sizes)) == whole
    assert contents(EVERYTHING_KEPT, kept(history, sizes, restarts=True)) == whole


class Picky(Everything):
    """Cannot take whoever is known by the external id e2, nor the second row of a request."""

    ordered = True

    @on_identified()
    def identified(self, seen: Identified) -> Iterator[Operation]:
        if any(identifier.value == "e2" for identifier in seen.bound):
            raise ValueError("not e2")
        yield from super().identified(seen)

    @on_event()
    def happened(self, event: Event) -> Operation:
        if event.index == 1:
            raise ValueError("not the second")
        return super().happened(event)


class Hasty(Picky):
    ordered = False


@given(histories, sizes_of_batches, st.sampled_from((Picky, Hasty)))
def test_any_batching_parks_the_same_and_keeps_the_same_order(
    history: list[Message], sizes: list[int], projection: type[Picky]
) -> None:
    definition = define(projection)
    whole = contents(definition, build(definition, stored(history), [len(history)]))
    assert contents(definition, build(definition, stored(history), sizes)) == whole
    assert contents(definition, build(definition, stored(history), sizes, restarts=True)) == whole


@given(histories)
def test_in_order_no_event_of_a_worker_is_applied_after_one_that_is_parked(history: list[Message]) -> None:
    tables = build(define(Picky), stored(history), [3] * 6)
    first: dict[tuple[str, str], tuple[int, int]] = {}
    for parked in sorted(tables.parked, key=lambda row: (row.message.sequence, row.row_index)):
        first.setdefault((parked.org_id, parked.worker_id), (parked.message.sequence, parked.row_index))
    for happened in rows_of(tables, Happened):
        place = first.get((happened.org_id, happened.worker_id))
        assert place is None or (happened.sequence, happened.row_index) < place


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


@given(histories, sizes_of_batches)
def test_an_event_sent_again_under_its_name_leaves_no_trace_at_all(history: list[Message], sizes: list[int]) -> None:
    made, once = kept(history, sizes), kept(without_later_namesakes(history))
    assert rows_of(made, Happened) == rows_of(once, Happened)
    assert rows_of(made, Person) == rows_of(once, Person)
    assert made.bindings(IDENTIFIERS) == once.bindings(IDENTIFIERS)


@given(histories)
def test_the_first_event_of_a_name_is_there_flagged_or_not(history: list[Message]) -> None:
    firsts: dict[str, tuple[int, int]] = {}
    for sequence, message in enumerate(history, 1):
        for row in message.accepted if isinstance(message, Envelope) and message.kind == "events" else ():
            firsts.setdefault(row.event_id, (sequence, row.index))
    events = rows_of(kept(history), Happened)
    assert {event.event_id: (event.sequence, event.row_index) for event in events} == firsts


def test_the_same_name_from_another_app_is_another_event() -> None:
    requests = [envelope("org_a", [event({"email": "m1@x"})], app_id=f"org_a_{app}") for app in APPS]
    history: list[Message] = [founded("org_a"), *(named(request, ["n1"], [False]) for request in requests)]
    assert len(rows_of(kept(history, [3]), Happened)) == len(APPS)


@given(histories)
def test_no_row_is_ever_given_to_a_worker_of_another_org(history: list[Message]) -> None:
    tables = kept(history)
    workers = {(person.org_id, person.worker_id) for person in rows_of(tables, Person)}
    assert not {worker for org, worker in workers if org == "org_a"} & {
        worker for org, worker in workers if org == "org_b"
    }
    assert {(event.org_id, event.worker_id) for event in rows_of(tables, Happened)} <= workers
    assert {(latest.org_id, latest.worker_id) for latest in rows_of(tables, Latest)} <= workers
    bound = tables.bindings(IDENTIFIERS)
    assert {(identifier.org_id, worker) for identifier, worker in bound.items() if worker is not None} <= workers


@given(histories, st.sampled_from(ORGS))
def test_what_other_orgs_store_in_between_makes_no_difference(history: list[Message], org: str) -> None:
    everything = kept(history)
    alone = build(EVERYTHING_KEPT, [message for message in stored(history) if f".{org}." in message.subject])
    for spec in EVERYTHING_KEPT.tables:
        assert alone.rows(spec) == [row for row in everything.rows(spec) if row.org_id == org]
