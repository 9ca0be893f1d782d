"""What a handler raises is its row's fault, except what says that the whole process is to end or has no room."""

import asyncio

import pytest

from tests.support.folding import fold, stored
from tests.support.stored import envelope, founded, raw
from wepeople_projections import Event, Projection, Row, on_event, table
from wepeople_projections.definition.projection import define

ORG = "org_a"


@table(key=("worker_id",))
class Somebody(Row, frozen=True):
    worker_id: str


class Raising(Projection):
    """Raises what it is told to, but for the event `fine`."""

    name = "raising"
    version = 1
    tables = (Somebody,)
    error: BaseException = ValueError()

    @on_event()
    def happened(self, event: Event) -> None:
        if event.event_type != "fine":
            raise self.error


def raising(raised: BaseException) -> type[Projection]:
    class RaisingThis(Raising):
        error = raised

    return RaisingThis


def event(event_type: str) -> bytes:
    return raw({"eventType": event_type, "category": "code", "actor": {"externalId": "w1"}})


def test_a_handler_that_exits_parks_its_row_like_any_other_error() -> None:
    # The third is of a worker who is known, which has a path of its own.
    rows = [event("a"), event("fine"), event("b")]

    tables, _ = fold(define(raising(SystemExit(3))), stored(founded(ORG), envelope(ORG, rows)))

    assert [(row.row_index, row.reason.split(" (")[0]) for row in tables.parked] == [
        (0, "SystemExit: 3"),
        (2, "SystemExit: 3"),
    ]


@pytest.mark.parametrize("rows", [("a",), ("fine", "a")])
@pytest.mark.parametrize("error", [MemoryError(), KeyboardInterrupt(), asyncio.CancelledError()])
def test_what_is_not_the_rows_fault_ends_the_fold(error: BaseException, rows: tuple[str, ...]) -> None:
    definition = define(raising(error))

    with pytest.raises(type(error)):
        fold(definition, stored(founded(ORG), envelope(ORG, [event(row) for row in rows])))
