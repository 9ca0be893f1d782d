"""A row that a handler cannot take is parked with its reason, leaves no trace, and can be tried again."""

from collections.abc import Iterator

import msgspec

from tests.support.folding import begun, build, fold, rows_of, stored
from tests.support.histories import named
from tests.support.stored import envelope, founded, imported, raw
from wepeople_chassis.stream import StoredMessage
from wepeople_contracts.directory import OrgFounded
from wepeople_contracts.envelope import Envelope, RejectedRow
from wepeople_contracts.ids import worker_id
from wepeople_projections import (
    Event,
    Fact,
    Identified,
    Operation,
    Projection,
    Reject,
    Request,
    Row,
    insert,
    on_event,
    on_fact,
    on_identified,
    on_reject,
    on_request,
    table,
)
from wepeople_projections.batch.tables import MemoryTables
from wepeople_projections.definition.projection import define
from wepeople_projections.definition.selection import Selection
from wepeople_projections.folding.decode import decode
from wepeople_projections.folding.fold import Fold
from wepeople_projections.folding.identity import Identifier
from wepeople_projections.folding.memory import Memory
from wepeople_projections.folding.parked import WHOLE_MESSAGE

ORG = "org_a"


@table(key=("event_id",), key_is_global=True)
class Seen(Row, frozen=True):
    event_id: str
    worker_id: str
    sequence: int


@table(key=("worker_id",))
class Somebody(Row, frozen=True):
    worker_id: str


class Fussy(Projection):
    """Takes all but events of the type `poison`, and what `refuses` says."""

    name = "fussy"
    version = 1
    tables = (Seen, Somebody)
    refuses = ""

    @on_request()
    def on_request(self, request: Request) -> None:
        if self.refuses == "requests":
            raise ValueError("no requests today")

    @on_reject()
    def on_reject(self, reject: Reject) -> None:
        raise ValueError("no rejects")

    @on_fact()
    def on_fact(self, fact: Fact) -> None:
        if self.refuses == "facts":
            raise ValueError("no facts today")

    @on_identified()
    def identified(self, seen: Identified) -> Operation | None:
        return insert(Somebody(seen.org_id, seen.worker_id)) if seen.founded else None

    @on_event()
    def seen(self, event: Event) -> Iterator[Operation]:
        yield insert(Seen(event.org_id, event.event_id, event.worker_id, event.request.sequence))
        if event.event_type == "poison":
            raise ValueError("too bitter")


class Ordered(Fussy):
    name = "in_order"
    ordered = True


def event(event_type: str, who: str) -> bytes:
    return raw({"eventType": event_type, "category": "code", "actor": {"externalId": who}})


def worker(who: str) -> str:
    return worker_id(founded(ORG).salt, "externalId", "app_1", who)


def refusing(what: str) -> type[Projection]:
    return type("Refusing", (Fussy,), {"refuses": what})


def where(tables: MemoryTables) -> list[tuple[int, int, bool]]:
    return [(parked.message.sequence, parked.row_index, parked.waits) for parked in tables.parked]


def seen(tables: MemoryTables) -> set[tuple[str, int]]:
    return {(row.worker_id, row.sequence) for row in rows_of(tables, Seen)}


def test_a_row_that_a_handler_raises_at_is_parked_with_the_line_and_the_rest_goes_on() -> None:
    request = envelope(ORG, [event("fine", "a"), event("poison", "a"), event("fine", "a")])
    tables, _ = fold(define(Fussy), stored(founded(ORG), request))
    [parked] = tables.parked
    assert (parked.message.sequence, parked.row_index, parked.worker_id) == (2, 1, worker("a"))
    assert parked.reason.startswith("ValueError: too bitter (in seen, test_projection_parking.py line ")
    assert len(rows_of(tables, Seen)) == 2


def test_nobody_is_founded_and_nothing_is_named_by_a_parked_row() -> None:
    poison = named(envelope(ORG, [event("poison", "a")]), ["n1"], [False])
    tables, _ = fold(define(Fussy), stored(founded(ORG), poison))
    identifier = Identifier(ORG, "externalId", "app_1", "a")
    assert tables.bindings([identifier]) == {identifier: None}
    assert not tables.taken({poison.accepted[0].event_id})
    assert not rows_of(tables, Somebody)


def test_an_event_counts_though_an_earlier_one_of_its_name_was_parked() -> None:
    poison, fine = (named(envelope(ORG, [event(kind, "a")]), ["n1"], [False]) for kind in ("poison", "fine"))
    tables, _ = fold(define(Fussy), stored(founded(ORG), poison, fine, fine))
    assert seen(tables) == {(worker("a"), 3)}


def test_the_same_holds_of_somebody_who_is_known() -> None:
    poison, fine = (named(envelope(ORG, [event(kind, "a")]), ["n1"], [False]) for kind in ("poison", "fine"))
    before = stored(founded(ORG), envelope(ORG, [event("fine", "a")]))
    tables = build(define(Fussy), [*before, *stored(poison, fine, fine, first=3)], [2, 3])
    assert seen(tables) == {(worker("a"), 2), (worker("a"), 4)}


def test_what_one_handler_said_is_not_done_when_another_cannot_take_the_row() -> None:
    class More(Fussy):
        @on_event("late.*")
        def later(self, event: Event) -> Operation:
            return insert(Seen("org_b", event.event_id + "'", event.worker_id, 0))

    request = envelope(ORG, [event("late.poison", "a"), event("fine", "a")])
    tables, _ = fold(define(More), stored(founded(ORG), request))
    assert [row.event_id for row in rows_of(tables, Seen)] == [request.accepted[1].event_id]
    [parked] = tables.parked
    assert "org_b" in parked.reason


def test_a_request_that_cannot_be_taken_is_parked_whole_with_all_its_rows() -> None:
    tables, _ = fold(define(refusing("requests")), stored(founded(ORG), envelope(ORG, [event("fine", "a")])))
    assert where(tables) == [(2, WHOLE_MESSAGE, False)]
    assert not rows_of(tables, Seen)


def test_a_rejected_row_that_cannot_be_taken_is_parked_by_itself() -> None:
    request = envelope(ORG, [event("fine", "a")])
    request = msgspec.structs.replace(request, rejected=[RejectedRow(1, "invalid", "Mend it.", None, False, b"{}")])
    tables, _ = fold(define(Fussy), stored(founded(ORG), request))
    assert where(tables) == [(2, 1, False)]
    assert seen(tables) == {(worker("a"), 2)}


def test_an_org_is_founded_though_a_handler_cannot_take_the_fact() -> None:
    contents = founded(ORG), imported(ORG, ("a@x", "A")), envelope(ORG, [event("fine", "a")])
    tables, _ = fold(define(refusing("facts")), stored(*contents))
    assert where(tables) == [(1, WHOLE_MESSAGE, False), (2, WHOLE_MESSAGE, False)]
    assert [row.worker_id for row in rows_of(tables, Somebody)] == [worker("a")]


def test_in_order_what_comes_of_a_worker_after_a_parked_row_waits_and_others_go_on() -> None:
    first = envelope(ORG, [event("fine", "a"), event("poison", "a"), event("fine", "a"), event("fine", "b")])
    second = envelope(ORG, [event("fine", "a"), event("fine", "b")])
    tables, _ = fold(define(Ordered), stored(founded(ORG), first, second))
    assert where(tables) == [(2, 1, False), (2, 2, True), (3, 0, True)]
    assert seen(tables) == {(worker("a"), 2), (worker("b"), 2), (worker("b"), 3)}


def test_in_order_an_org_waits_for_a_message_of_which_nobody_knows_whose_it_is() -> None:
    [broken] = stored(envelope(ORG, [event("fine", "a")]), first=3)
    messages = [
        *stored(founded(ORG), founded("org_b")),
        StoredMessage(3, broken.subject, "id", 0, b""),
        *stored(envelope(ORG, [event("fine", "a")]), envelope("org_b", [event("fine", "a")]), first=4),
    ]
    tables, _ = fold(define(Ordered), messages)
    assert where(tables) == [(3, WHOLE_MESSAGE, False), (4, 0, True)]
    assert [row.sequence for row in rows_of(tables, Seen)] == [5]


class Mended(Ordered):
    @on_event()
    def seen(self, event: Event) -> Iterator[Operation]:
        yield insert(Seen(event.org_id, event.event_id, event.worker_id, event.request.sequence))


def tried_again(
    projection: type[Projection], tables: MemoryTables, memory: Memory, message: StoredMessage, row_index: int
) -> list[bool]:
    """Whether what is parked still waits, one for each; none when it was applied."""
    batch = begun(define(projection), [message], tables, memory)
    for _, take in batch.retries(batch.messages[0], {row_index}):
        take()
    still = [parked.waits for parked in batch.changes.parked]
    batch.changes.parked.clear()
    tables.write(batch.changes)
    memory.commit_batch()
    return still


def test_a_parked_row_that_is_tried_again_is_applied_as_if_it_came_now() -> None:
    messages = stored(founded(ORG), envelope(ORG, [event("poison", "a"), event("fine", "b")]))
    tables, memory = fold(define(Fussy), messages)
    assert tried_again(Fussy, tables, memory, messages[1], 0) == [False]
    assert tried_again(Mended, tables, Memory(tables.salts()), messages[1], 0) == []
    assert seen(tables) == {(worker("a"), 2), (worker("b"), 2)}


def test_a_named_event_whose_name_was_given_meanwhile_comes_to_nothing() -> None:
    poison, fine = (named(envelope(ORG, [event(kind, "a")]), ["n1"], [False]) for kind in ("poison", "fine"))
    messages = stored(founded(ORG), poison, fine)
    tables, memory = fold(define(Fussy), messages)
    assert tried_again(Mended, tables, memory, messages[1], 0) == []
    assert seen(tables) == {(worker("a"), 3)}


def test_in_order_the_first_may_be_tried_again_and_the_others_after_it() -> None:
    messages = stored(founded(ORG), envelope(ORG, [event("poison", "a"), event("fine", "a")]))
    tables, memory = fold(define(Ordered), messages)
    assert tried_again(Mended, tables, memory, messages[1], 1) == [True]
    assert tried_again(Mended, tables, memory, messages[1], 0) == []
    memory.blocked[ORG, worker("a")] = (2, 1)
    assert tried_again(Mended, tables, memory, messages[1], 1) == []
    assert len(rows_of(tables, Seen)) == 2


def test_a_message_parked_whole_is_tried_again_whole() -> None:
    messages = stored(founded(ORG), envelope(ORG, [event("fine", "a"), event("fine", "b")]))
    tables, memory = fold(define(refusing("requests")), messages)
    assert tried_again(Fussy, tables, memory, messages[1], WHOLE_MESSAGE) == []
    assert seen(tables) == {(worker("a"), 2), (worker("b"), 2)}


def steps(content: Envelope | OrgFounded, refused: set[int]) -> tuple[MemoryTables, Memory]:
    """The tables when the database refuses the steps of these numbers (from 0) of one message."""
    definition = define(Fussy)
    tables, memory = (
        (MemoryTables(), Memory({})) if isinstance(content, OrgFounded) else fold(definition, stored(founded(ORG)))
    )
    batch = begun(definition, stored(content, first=2), tables, memory)
    for number, step in enumerate(batch.steps()):
        tables.write(batch.take_back("it was refused") if number in refused else step.changes)
    memory.commit_batch()
    return tables, memory


def test_a_row_that_the_database_refuses_is_taken_back_and_the_next_of_its_worker_founds_it() -> None:
    rows = envelope(ORG, [event("fine", "a"), event("fine", "a"), event("fine", "a")])
    tables, _ = steps(named(rows, ["n1", "n1", "n2"], [False] * 3), {2})
    assert where(tables) == [(2, 0, False)]
    assert len(rows_of(tables, Seen)) == 2
    identifier = Identifier(ORG, "externalId", "app_1", "a")
    assert tables.bindings([identifier]) == {identifier: worker("a")}
    assert [row.worker_id for row in rows_of(tables, Somebody)] == [worker("a")]


def test_nobody_is_bound_to_a_worker_whose_founding_row_the_database_refused() -> None:
    both = raw({"eventType": "fine", "category": "code", "actor": {"externalId": "a", "email": "m@x"}})
    alone = raw({"eventType": "fine", "category": "code", "actor": {"email": "m@x"}})
    tables, _ = steps(envelope(ORG, [both, alone]), {2})
    assert seen(tables) == {(worker_id(founded(ORG).salt, "email", ORG, "m@x"), 2)}


def test_when_the_database_refuses_what_there_is_besides_rows_no_row_is_applied() -> None:
    tables, _ = steps(envelope(ORG, [event("fine", "a")]), {1})
    assert where(tables) == [(2, WHOLE_MESSAGE, False)]
    assert not rows_of(tables, Seen)


def test_an_org_whose_founding_the_database_refuses_is_unknown() -> None:
    tables, memory = steps(founded(ORG), {0})
    assert where(tables) == [(2, WHOLE_MESSAGE, False)]
    assert (tables.salts(), memory.salts) == ({}, {})


def test_what_somebody_decided_to_skip_leaves_no_trace_and_founds_its_org_all_the_same() -> None:
    first = envelope(ORG, [event("poison", "a"), event("fine", "b"), event("poison", "c")])
    messages = stored(founded(ORG), first, envelope(ORG, [event("fine", "d")]))
    skipped = frozenset({(1, WHOLE_MESSAGE), (2, 0), (3, WHOLE_MESSAGE)})
    tables, memory = MemoryTables(), Memory({})
    definition = define(Ordered)
    batch = Fold(definition, Selection(), memory, [decode(m, definition) for m in messages], skipped=skipped)
    batch.begin(dict.fromkeys(batch.unknown()[0]), set())
    for message in batch.messages:
        batch.apply(message)
    tables.write(batch.changes)
    assert where(tables) == [(2, 2, False)]
    assert seen(tables) == {(worker("b"), 2)}
    assert [row.worker_id for row in rows_of(tables, Somebody)] == [worker("b")]
    assert tables.salts().keys() == {ORG}
