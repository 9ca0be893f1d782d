"""What holds for any history of an org and any batching of it: workers, and events that their senders named."""

from collections.abc import Iterable

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tests.support.histories import APPS, Message, event, histories, named, project, stored
from tests.support.stored import envelope, founded
from wepeople_contracts.envelope import Envelope
from wepeople_contracts.ids import worker_id
from wepeople_contracts.rows import EventRow
from wepeople_projections.identity import claim_of


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
        for row in message.accepted if isinstance(message, Envelope) and message.kind == "events" else ():
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
        if isinstance(message, Envelope) and message.kind == "events":
            workers = {tables.events[row.event_id][0] for row in message.accepted}
            assert all((message.org_id, worker) in tables.workers for worker in workers)
    assert not {w for org, w in tables.workers if org == "org_a"} & {w for org, w in tables.workers if org == "org_b"}
    assert all(key[:2] in tables.workers for key in tables.snapshots)
    assert all((i.org_id, worker) in tables.workers for i, worker in tables.bindings.items())


@given(histories)
def test_an_identifier_that_is_overruled_leaves_a_record_and_keeps_its_worker(
    history: list[Message],
) -> None:
    history = without_later_namesakes(history)
    tables = project(stored(history))
    recorded = {(c.identifier, c.worker_id): c.other for c in tables.conflicts}
    for request in (message for message in history if isinstance(message, Envelope) and message.kind == "events"):
        for row in request.accepted:
            actor = msgspec.json.decode(row.raw, type=EventRow).actor
            claim = claim_of(request.org_id, request.app_id, actor.worker_id, actor.external_id, actor.email)
            assert claim is not None
            given_to, _, _ = tables.events[row.event_id]
            for identifier in claim.identifiers:
                assert tables.find(identifier) == given_to or (identifier, given_to) in recorded
    assert all(other is None or tables.find(i) == other for (i, _), other in recorded.items())
