"""What the stream says there must be of events and charges, counted by a fold that shares nothing with the others."""

from datetime import UTC, date, datetime, time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.folding import build, rows_of
from tests.support.histories import Message, event, histories, named, stored
from tests.support.stored import RECEIVED_AT_US, envelope, founded, raw
from wepeople_chassis.stream import StoredMessage
from wepeople_contracts.envelope import Charge, Envelope
from wepeople_contracts.subjects import partition_of
from wepeople_projections.definition.projection import define
from wepeople_projector.models.live import Live
from wepeople_projector.models.timeline import TimelineEvent
from wepeople_projector.tally import Tally

EVERYTHING = dict.fromkeys(range(16), 10**9)


def tallied(history: list[Message], positions: dict[int, int], *aside: tuple[int, int]) -> Tally:
    tally = Tally(positions, [(partition_of("org_a"), *place) for place in aside])
    for message in stored(history):
        tally.count(message)
    return tally


@given(histories)
def test_it_counts_the_events_that_the_timeline_has(history: list[Message]) -> None:
    tally = tallied(history, EVERYTHING)
    assert sum(org.events for org in tally.orgs.values()) == len(
        rows_of(build(define(Live), stored(history)), TimelineEvent)
    )


@given(histories, st.integers(0, 14))
def test_events_count_up_to_each_partitions_position(history: list[Message], position: int) -> None:
    tally = tallied(history, {partition_of("org_a"): position})
    before = [m for m in history[:position] if isinstance(m, Envelope) and m.org_id == "org_a" and m.kind == "events"]
    assert tally.orgs["org_a"].accepted == sum(len(request.accepted) for request in before)


def request(*names: str | None, period: str = "2026-04") -> Envelope:
    made = named(envelope("org_a", [event({"email": "m1@x"}) for _ in names]), names, [False] * len(names))
    ids = [row.event_id for row in made.accepted if row.named]
    return msgspec.structs.replace(made, charge=Charge(period, len(names), 1, ids))


@given(histories, st.sampled_from([None, date(2026, 4, 1), date(2026, 5, 1), date(2030, 1, 1)]))
def test_events_count_that_happened_since_the_timeline_is_kept(history: list[Message], kept_from: date | None) -> None:
    tally = Tally(EVERYTHING, (), kept_from)
    for message in stored(history):
        tally.count(message)
    first = datetime.combine(kept_from or date(1, 1, 2), time(), UTC).timestamp() * 1_000_000
    rows = rows_of(build(define(Live), stored(history)), TimelineEvent)
    assert sum(org.events for org in tally.orgs.values()) == sum(row.occurred_at >= first for row in rows)


@pytest.mark.parametrize(
    ("timestamp", "is_kept"),
    [
        ("2026-05-01T08:59:59.999999+09:00", False),
        ("2026-05-01T09:00:00+09:00", True),
        ("0001-01-01T00:00:00Z", False),
        (None, False),
    ],
)
def test_a_row_without_a_time_happened_when_it_was_received(timestamp: str | None, is_kept: bool) -> None:
    fields = {} if timestamp is None else {"timestamp": timestamp}
    row = raw({"eventType": "x", "category": "code", "actor": {"email": "m1@x"}} | fields)
    request = envelope("org_a", [row], received_at_us=RECEIVED_AT_US)
    tally = Tally(EVERYTHING, (), date(2026, 5, 1))
    for message in stored([founded("org_a"), request]):
        tally.count(message)
    org = tally.orgs["org_a"]
    assert (org.accepted, org.dropped, org.events) == (1, not is_kept, is_kept)


def test_a_row_that_was_put_aside_is_no_event_and_takes_no_name() -> None:
    history: list[Message] = [founded("org_a"), request("n1", None), request("n1"), request("n1"), request(None, None)]
    org = tallied(history, EVERYTHING, (2, 0), (5, -1)).orgs["org_a"]
    assert (org.accepted, org.aside, org.repeated, org.events) == (6, 3, 1, 2)


def test_a_named_event_is_charged_once_in_each_month() -> None:
    history: list[Message] = [
        founded("org_a"),
        request("n1", "n2", None),
        request("n1", None),
        request("n1", period="2026-05"),
    ]
    assert tallied(history, {}).orgs["org_a"].months == {"2026-04": 4, "2026-05": 1}


def test_names_are_kept_of_two_months_and_counts_of_all() -> None:
    periods = ("2026-04", "2026-05", "2026-06", "2026-06")
    history: list[Message] = [founded("org_a"), *(request("n1", None, period=period) for period in periods)]
    org = tallied(history, {}).orgs["org_a"]
    assert org.months == {"2026-04": 2, "2026-05": 2, "2026-06": 3}
    assert {period: len(names) for period, names in org.charged.items()} == {"2026-05": 1, "2026-06": 1}


def test_what_is_no_envelope_counts_for_nobody() -> None:
    tally = Tally(EVERYTHING, ())
    subject = f"ingest.{partition_of('org_a')}.org_a.app_1.events"
    assert tally.count(StoredMessage(1, subject, "id", 0, b"garbage")) is None
    assert tally.count(StoredMessage(2, "ingest.odd", "id", 0, b"")) is None
    assert not tally.orgs
