"""The kit for analysts: what passes, what fails, and that the failure says why."""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta

import pytest

from wepeople_contracts.directory import AppCreated
from wepeople_projections import (
    DefinitionError,
    Event,
    Fact,
    First,
    Identified,
    Instant,
    Jsonb,
    Operation,
    Projection,
    RawText,
    Reject,
    Row,
    Snapshot,
    Sum,
    add,
    insert,
    on_event,
    on_fact,
    on_identified,
    on_reject,
    on_snapshot,
    sql,
    table,
    upsert,
)
from wepeople_projections.kit import Item, event, fact, given, imported, org, rejected, request, snapshot, worker


@table(key=("service", "week"))
class DeploysPerWeek(Row, frozen=True):
    service: str
    week: date
    deploys: Sum[int]


class Deploys(Projection):
    name = "deploys"
    version = 1
    tables = (DeploysPerWeek,)

    @on_event("deploy.shipped")
    def shipped(self, event: Event) -> Operation:
        day = event.occurred_at.date()
        week = day - timedelta(days=day.weekday())
        return add(DeploysPerWeek(event.org_id, event.metadata["service"], week, 1))


def deploy(service: str = "api", at: str = "2026-04-01T09:00Z", **more: str) -> Item:
    return event("deploy.shipped", metadata={"service": service}, at=at, **more)  # type: ignore[arg-type]


WEEK = date(2026, 3, 30)


def failure(check: Callable[[], object]) -> str:
    with pytest.raises(AssertionError) as failed:
        check()
    return str(failed.value)


def test_rows_may_be_whole_or_only_some_columns_and_in_any_order() -> None:
    checks = given(Deploys, deploy("web"), [deploy(), deploy(at="2026-04-05T23:59:59Z")])
    checks.expect(DeploysPerWeek, [{"service": "api", "deploys": 2}, {"service": "web", "week": WEEK}])
    checks.expect(DeploysPerWeek, [DeploysPerWeek("acme", "api", WEEK, 2), DeploysPerWeek("acme", "web", WEEK, 1)])


def test_a_difference_is_shown_as_a_small_table_with_what_was_expected_and_what_is_there() -> None:
    expected = [{"service": "api", "deploys": 2}, {"service": "web", "deploys": 1}]
    said = failure(lambda: given(Deploys, deploy("web"), deploy()).expect(DeploysPerWeek, expected))
    assert said == (
        "DeploysPerWeek has other rows than expected:\n"
        "\n"
        "     service  deploys\n"
        "  -  api      2\n"
        "  +  api      1\n"
        "     web      1\n"
        "  (- expected only, + found only)"
    )


@pytest.mark.parametrize(
    "expected",
    [
        [],
        [{"service": "api"}],
        [{"service": "api"}, {"service": "api"}],
        [{"deploys": 1}, {"deploys": 1}, {"deploys": 1}],
        [{"service": "api"}, {"service": "web", "week": WEEK - timedelta(days=7)}],
    ],
)
def test_rows_too_many_too_few_or_other_than_expected_fail(expected: list[dict[str, object]]) -> None:
    failure(lambda: given(Deploys, deploy("web"), deploy()).expect(DeploysPerWeek, expected))


def test_rows_of_which_little_is_expected_find_each_a_row_of_its_own() -> None:
    given(Deploys, deploy("api"), deploy("web")).expect(DeploysPerWeek, [{"deploys": 1}, {"service": "api"}])


def test_a_column_or_a_table_that_is_not_there_is_no_mere_difference() -> None:
    checks = given(Deploys, deploy())
    with pytest.raises(TypeError, match="no column servce"):
        checks.expect(DeploysPerWeek, [{"servce": "api"}])
    with pytest.raises(DefinitionError):
        checks.expect(Seen, [])


def test_what_is_parked_fails_unless_it_was_said_before() -> None:
    broken = event("deploy.shipped")
    said = failure(lambda: given(Deploys, deploy(), broken).expect(DeploysPerWeek, [{"deploys": 1}]))
    assert re.search(r"row 0 of message 3: KeyError: 'service' \(in shipped, .* line \d+\)", said)
    given(Deploys, deploy(), broken).expect_parked("KeyError: 'service'").expect(DeploysPerWeek, [{"deploys": 1}])


def test_parked_for_another_reason_or_not_at_all_fails() -> None:
    said = failure(lambda: given(Deploys, event("deploy.shipped")).expect_parked("TypeError"))
    assert "KeyError: 'service'" in said
    assert "nothing is" in failure(lambda: given(Deploys, deploy()).expect_parked("KeyError"))


@table(key=("event_id",))
class Seen(Row, frozen=True):
    event_id: str
    worker_id: str
    connection: str
    at: Instant
    raw: RawText | None
    json: Jsonb | None


@table(key=("worker_id", "snapshot_type"))
class State(Row, frozen=True):
    worker_id: str
    snapshot_type: str
    metrics: Jsonb


@table(key=("what", "about"))
class Note(Row, frozen=True):
    what: str
    about: str
    sequence: First[int]


class Journal(Projection):
    """Keeps what there is."""

    name = "journal"
    version = 1
    tables = (Seen, State, Note)

    @on_event()
    def seen(self, event: Event) -> Operation:
        raw = event.metadata_raw
        return insert(
            Seen(event.org_id, event.event_id, event.worker_id, event.connection, event.occurred_at_us, raw, raw)
        )

    @on_snapshot()
    def state(self, snapshot: Snapshot) -> Operation:
        return upsert(State(snapshot.org_id, snapshot.worker_id, snapshot.snapshot_type, snapshot.metrics_raw))

    @on_reject()
    def reject(self, reject: Reject) -> Operation:
        return insert(Note(reject.request.org_id, reject.row.code, str(reject.row.index), reject.request.sequence))

    @on_fact()
    def fact(self, fact: Fact) -> Operation:
        return insert(Note(fact.org_id, type(fact.body).__name__, str(fact.sequence), fact.sequence))

    @on_identified()
    def identified(self, seen: Identified) -> Iterator[Operation]:
        for identifier in seen.bound:
            yield upsert(Note(seen.org_id, "bound", identifier.value, seen.sequence))


def test_a_worker_is_named_in_expectations_as_events_name_it() -> None:
    given(
        Journal,
        event("a", actor={"externalId": "eng-17", "email": "Alex@acme.com"}, app="ci"),
        event("b", actor={"email": "alex@acme.com"}, app="pager"),
        event("c", actor={"externalId": "eng-17"}, app="pager"),
    ).expect(
        Seen,
        [
            {"worker_id": worker("alex@acme.com"), "connection": "custom:ci"},
            {"worker_id": worker("eng-17", app="ci"), "connection": "custom:pager"},
            {"worker_id": worker("eng-17", app="pager"), "connection": "custom:pager"},
        ],
    )
    assert "bo@acme.com" in failure(
        lambda: given(Journal, event("a")).expect(Seen, [{"worker_id": worker("bo@acme.com")}])
    )


def test_instants_json_and_text_are_expected_as_what_they_say() -> None:
    at = datetime(2026, 4, 1, 9, tzinfo=UTC)
    given(Journal, event("a", metadata={"n": [1]}, at=at)).expect(
        Seen, [{"at": at, "json": {"n": [1]}, "raw": '{"n":[1]}'}]
    )
    given(Journal, event("a")).expect(Seen, [{"json": None, "raw": None}])
    given(Journal, snapshot("gauge", {"n": 1.5})).expect(State, [{"metrics": {"n": 1.5}}])


@table(key=("event_id",), expires_by="until")
class Fresh(Row, frozen=True):
    event_id: str
    until: Instant


class FreshForADay(Projection):
    name = "fresh"
    version = 1
    tables = (Fresh,)

    @on_event()
    def fresh(self, event: Event) -> Operation:
        return insert(Fresh(event.org_id, event.event_id, event.request.stored_at_us + 86_400_000_000))


def test_a_row_that_expires_goes_with_a_later_message_of_its_org() -> None:
    first, other = event("a", at="2026-04-01T09:00Z"), event("a", at="2026-04-03T09:00Z", org="other")
    given(FreshForADay, first, other).expect(Fresh, [{"org_id": "acme"}, {"org_id": "other"}])
    given(FreshForADay, first, other, imported(at="2026-04-02T09:00Z")).expect(Fresh, [{"org_id": "other"}])


def test_an_event_that_its_sender_names_is_there_once() -> None:
    given(Journal, event("a", id="n1"), event("a", id="n1"), event("a", id="n1", app="pager")).expect(Seen, [{}, {}])


def test_orgs_are_founded_before_all_else_unless_the_test_says_where() -> None:
    given(Journal, event("a"), event("a", org="other")).expect(
        Note,
        [
            {"what": "OrgFounded", "sequence": 1},
            {"what": "OrgFounded", "sequence": 2},
            {"what": "bound"},
            {"what": "bound"},
        ],
    )
    given(Journal, event("a"), org(), event("a")).expect_parked("never founded").expect(Seen, [{}])


def test_requests_imports_rejected_rows_and_facts_can_be_given() -> None:
    app = AppCreated(fact_id="f", org_id="acme", app_id="acme_ci", slug="ci", connection="custom:ci", occurred_at_us=1)
    given(
        Journal,
        fact(app),
        request(event("a"), rejected(code="too_old"), event("b")),
        imported(("bo@acme.com", "Bo")),
    ).expect(
        Note,
        [
            {"what": "OrgFounded"},
            {"what": "AppCreated", "sequence": 2},
            {"what": "bound", "about": "somebody", "sequence": 3},
            {"what": "too_old", "about": "1", "sequence": 3},
            {"what": "WorkersImported"},
            {"what": "bound", "about": "bo@acme.com", "sequence": 4},
        ],
    )


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: event("Deploy Shipped"),
        lambda: event("a", actor={}),
        lambda: event("a", actor={"mail": "a@x"}),
        lambda: event("a", at="2026-04-01T09:00"),
        lambda: event("a", duration=-1),
        lambda: event("a", category="No Slug"),
        lambda: request(event("a"), event("b", app="pager")),
    ],
)
def test_what_no_app_could_have_stored_cannot_be_given(wrong: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        wrong()


def test_a_row_that_the_database_would_refuse_is_parked_and_the_rest_goes_on() -> None:
    class Once(Projection):
        name = "once"
        version = 1
        tables = (Note,)

        @on_event()
        def once(self, event: Event) -> Operation:
            return insert(Note(event.org_id, event.event_type, "", event.request.sequence))

    checks = given(Once, event("a"), request(event("b"), event("a"), event("c")))
    checks.expect_parked("already").expect(Note, [{"what": "a", "sequence": 2}, {"what": "b"}, {"what": "c"}])


class Remembers(Deploys):
    def __init__(self) -> None:
        self.calls = 0

    @on_event("deploy.shipped")
    def shipped(self, event: Event) -> Operation:
        self.calls += 1
        return add(DeploysPerWeek(event.org_id, "all", WEEK, self.calls))


class CountsIdentified(Deploys):
    @on_identified()
    def identified(self, seen: Identified) -> Operation:
        return add(DeploysPerWeek(seen.org_id, "identified", WEEK, 1))


class RaisesNowAndThen(Deploys):
    def __init__(self) -> None:
        self.calls = 0

    @on_event("deploy.shipped")
    def shipped(self, event: Event) -> Operation:
        self.calls += 1
        if self.calls % 5 == 0:
            raise ValueError("tired")
        return super().shipped(event)


@pytest.mark.parametrize("impure", [Remembers, CountsIdentified, RaisesNowAndThen])
def test_a_handler_that_is_not_a_function_of_the_stream_is_found_out(impure: type[Projection]) -> None:
    said = failure(lambda: given(impure, [deploy()] * 3).expect(DeploysPerWeek, []))
    assert said.startswith("your handler is not a pure function of the stream: built again (")


def test_sql_is_refused_with_words_because_it_needs_a_database() -> None:
    class Plain(Projection):
        name = "plain"
        version = 1
        tables = (Note,)

        @on_event()
        def plain(self, event: Event) -> Operation:
            return sql("UPDATE note SET what = 'x' WHERE org_id = %(org_id)s", org_id=event.org_id)

    given(Plain, event("a")).expect_parked("needs a database")
