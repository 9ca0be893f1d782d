"""What handlers see of a part of the stream; who is who depends on all of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.folding import EVERYTHING_KEPT, Asked, Happened, Person, build, fold, rows_of, stored
from tests.support.histories import Message, histories, named
from tests.support.histories import stored as as_stored
from tests.support.stored import envelope, founded, raw
from wepeople_contracts.envelope import Envelope
from wepeople_contracts.ids import worker_id
from wepeople_projections.batch.tables import MemoryTables
from wepeople_projections.definition.selection import Selection
from wepeople_projections.definition.table import Row

ORG = "org_a"
MERGED = worker_id(founded(ORG).salt, "externalId", "app_1", "a")


def event(event_type: str = "x", **actor: str) -> bytes:
    return raw({"eventType": event_type, "category": "code", "actor": actor})


def request(*rows: bytes, app_id: str = "app_1", org: str = ORG) -> Envelope:
    return envelope(org, rows, app_id=app_id, slug=app_id)


HISTORY = stored(
    founded(ORG),
    founded("org_b"),
    request(event(externalId="a", email="m@x"), event("poison", externalId="nul\0")),
    request(event("deploy.shipped", email="m@x"), app_id="app_2"),
    request(event("review.done", email="m@x"), event("deploy.failed", email="m@x")),
    request(event("deploy.shipped", email="m@x"), org="org_b"),
)


@pytest.mark.parametrize(
    ("selection", "happened", "asked"),
    [
        (Selection(from_sequence=4), [(4, 0), (5, 0), (5, 1), (6, 0)], [4, 5, 6]),
        (Selection(from_sequence=4, to_sequence=5), [(4, 0), (5, 0), (5, 1)], [4, 5]),
        (Selection(app_ids=("app_2",)), [(4, 0)], [4]),
        (Selection(from_sequence=4, event_types=("deploy.*",)), [(4, 0), (5, 1), (6, 0)], [4, 5, 6]),
        (Selection(from_sequence=4, event_types=("review.done", "x")), [(5, 0)], [4, 5, 6]),
        (Selection(from_sequence=4, org_ids=("org_b",)), [(6, 0)], [6]),
    ],
)
def test_handlers_are_given_what_is_selected_with_the_workers_of_the_whole_history(
    selection: Selection, happened: list[tuple[int, int]], asked: list[int]
) -> None:
    tables, _ = fold(EVERYTHING_KEPT, HISTORY, selection)
    events = rows_of(tables, Happened)
    assert sorted((event.sequence, event.row_index) for event in events) == happened
    assert sorted(request.sequence for request in rows_of(tables, Asked)) == asked
    assert {event.worker_id for event in events if event.org_id == ORG} <= {MERGED}
    assert not tables.parked


def test_nothing_is_kept_of_an_org_outside_the_selection() -> None:
    tables, _ = fold(EVERYTHING_KEPT, HISTORY, Selection(org_ids=("org_b",)))
    assert tables.salts().keys() == {"org_b"}


def test_a_worker_known_from_before_the_selection_is_told_of_when_first_seen_in_it() -> None:
    history = stored(founded(ORG), *(request(event(email="m@x")) for _ in range(3)))
    for sizes in ([4], [1, 1, 1, 1]):
        tables = build(EVERYTHING_KEPT, history, sizes, selection=Selection(from_sequence=4))
        assert [person.connections for person in rows_of(tables, Person)] == [["custom:app_1"]]


def test_an_event_named_before_the_selection_does_not_count_again_in_it() -> None:
    requests = [named(request(event(externalId="a")), ["n1"], [False]) for _ in range(2)]
    tables, _ = fold(EVERYTHING_KEPT, stored(founded(ORG), *requests), Selection(from_sequence=3))
    assert not rows_of(tables, Happened)


@given(histories, st.integers(1, 6), st.lists(st.integers(1, 5), max_size=12))
def test_any_batching_of_a_selection_gives_the_same(history: list[Message], start: int, sizes: list[int]) -> None:
    selection = Selection(from_sequence=start, app_ids=("org_a_1", "org_b_2"))
    messages = as_stored(history)
    whole = _rows(build(EVERYTHING_KEPT, messages, [len(messages)], selection=selection))
    assert _rows(build(EVERYTHING_KEPT, messages, sizes, selection=selection)) == whole
    assert _rows(build(EVERYTHING_KEPT, messages, sizes, selection=selection, restarts=True)) == whole


def _rows(tables: MemoryTables) -> list[list[Row]]:
    return [tables.rows(spec) for spec in EVERYTHING_KEPT.tables]
