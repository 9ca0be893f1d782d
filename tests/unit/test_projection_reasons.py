"""The reason of what was parked says what went wrong, and can be stored whatever it was."""

from collections.abc import Callable

import pytest

from tests.support.folding import fold, stored
from tests.support.stored import envelope, founded, raw
from wepeople_projections import Event, Operation, Projection, Row, on_event, table
from wepeople_projections.definition.projection import define

ORG = "org_a"


@table(key=("worker_id",))
class Somebody(Row, frozen=True):
    worker_id: str


def event(event_type: str, who: str) -> bytes:
    return raw({"eventType": event_type, "category": "code", "actor": {"externalId": who}})


@pytest.mark.parametrize(
    ("returned", "reason"),
    [
        (lambda event: Somebody(event.org_id, "w"), "insert, upsert or add"),
        (lambda event: ["text"], "emitted a str"),
        (lambda event: 7, "TypeError"),
    ],
)
def test_what_is_no_operation_is_parked_with_words_that_help(returned: Callable[[Event], object], reason: str) -> None:
    class Odd(Projection):
        name = "odd"
        version = 1
        tables = (Somebody,)

        @on_event()
        def odd(self, event: Event) -> Operation:
            return returned(event)  # type: ignore[return-value]

    tables, _ = fold(define(Odd), stored(founded(ORG), envelope(ORG, [event("x", "a")])))
    [parked] = tables.parked
    assert reason in parked.reason


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise ValueError("not even its words")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("\ud800\0 and more"), "ValueError: ?\N{REPLACEMENT CHARACTER} and more (in raises"),
        (Unspeakable(), "Unspeakable (in raises"),
        (RecursionError(), "RecursionError (in raises"),
        (ValueError("x" * 10_000), "ValueError: xxx"),
    ],
)
def test_a_reason_can_always_be_stored(error: Exception, reason: str) -> None:
    class Raises(Projection):
        name = "raises"
        version = 1
        tables = (Somebody,)

        @on_event()
        def raises(self, event: Event) -> None:
            raise error

    tables, _ = fold(define(Raises), stored(founded(ORG), envelope(ORG, [event("x", "a")])))
    [parked] = tables.parked
    assert parked.reason.startswith(reason)
    assert len(parked.reason) < 2000
