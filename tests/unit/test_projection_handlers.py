"""Which handlers are called, with what; and what is spared for a projection that does not ask who it is."""

from collections.abc import Iterator

import pytest

from tests.support.folding import fold, rows_of, stored
from tests.support.histories import named
from tests.support.stored import app_created, envelope, founded, raw
from wepeople_chassis.stream import StoredMessage
from wepeople_contracts.directory import AppCreated
from wepeople_projections import (
    DefinitionError,
    Event,
    Fact,
    Identified,
    Operation,
    Projection,
    Row,
    Sum,
    add,
    on_event,
    on_fact,
    on_identified,
    on_request,
    table,
)
from wepeople_projections.definition.projection import define
from wepeople_projections.folding.decode import StoredRequest, decode

ORG = "org_a"


@table(key=("what", "worker_id"))
class Calls(Row, frozen=True):
    what: str
    worker_id: str
    calls: Sum[int]


class Counts(Projection):
    name = "counts"
    version = 1
    tables = (Calls,)

    @on_event("deploy.*")
    def deploys(self, event: Event) -> Operation:
        return add(Calls(event.org_id, "deploys", event.worker_id, 1))

    @on_event("deploy.shipped", "review.done")
    def two(self, event: Event) -> Iterator[Operation]:
        yield add(Calls(event.org_id, "two", event.worker_id, 1))
        yield add(Calls(event.org_id, "two", event.worker_id, 10))

    @on_fact(AppCreated)
    def apps(self, fact: Fact) -> Operation:
        return add(Calls(fact.org_id, "apps", "", 1))


class Anonymous(Counts):
    resolves_workers = False


def event(event_type: str, external_id: str = "a") -> bytes:
    return raw({"eventType": event_type, "category": "code", "actor": {"externalId": external_id}})


def calls(projection: type[Projection], *messages: StoredMessage) -> dict[str, int]:
    tables, _ = fold(define(projection), messages)
    assert not tables.parked
    return {row.what: row.calls for row in rows_of(tables, Calls)}


ROWS = [event("deploy.shipped"), event("deploy.failed"), event("review.done"), event("else")]


def test_each_handler_is_given_the_types_that_it_names() -> None:
    messages = stored(founded(ORG), app_created(ORG, "app_1"), envelope(ORG, ROWS))
    assert calls(Counts, *messages) == {"deploys": 2, "two": 22, "apps": 1}


def test_who_does_not_ask_for_workers_needs_no_org_and_no_actor() -> None:
    request = envelope(ORG, [*ROWS, event("deploy.shipped", "nul\0")])
    tables, memory = fold(define(Anonymous), stored(request))
    assert {row.what: row.calls for row in rows_of(tables, Calls)} == {"deploys": 3, "two": 33}
    assert {row.worker_id for row in rows_of(tables, Calls)} == {""}
    assert (tables.salts(), memory.salts, tables.parked) == ({}, {}, [])


def test_an_event_counts_once_for_its_name_also_where_nobody_asks_for_workers() -> None:
    requests = [named(envelope(ORG, [event("deploy.failed")]), ["n1"], [False]) for _ in range(2)]
    assert calls(Anonymous, *stored(*requests)) == {"deploys": 1}


def test_rows_are_decoded_only_for_who_asks_for_them() -> None:
    class Requests(Projection):
        name = "requests"
        version = 1
        tables = (Calls,)
        resolves_workers = False

        @on_request()
        def nothing(self, request: object) -> None: ...

    [message] = stored(envelope(ORG, ROWS))
    decoded = decode(message, define(Requests))
    assert isinstance(decoded, StoredRequest)
    assert (decoded.rows, decoded.request.accepted) == ([], 4)


@pytest.mark.parametrize("asks", ["ordered", "identified"])
def test_order_and_identity_cannot_be_had_without_workers(asks: str) -> None:
    class Ordered(Anonymous):
        ordered = True

    class Identifying(Anonymous):
        @on_identified()
        def identified(self, seen: Identified) -> None: ...

    with pytest.raises(DefinitionError, match="resolves_workers"):
        define(Ordered if asks == "ordered" else Identifying)
