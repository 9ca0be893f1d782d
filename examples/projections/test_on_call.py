"""What on_call.py makes of the stream."""

from datetime import UTC, date, datetime

from on_call import Load, OnCall, QueueNow

from wepeople_projections.kit import Item, event, given, snapshot, worker

ALEX = {"email": "alex@acme.com"}
DAY, NINE = date(2026, 4, 19), datetime(2026, 4, 19, 9, tzinfo=UTC)


def queue(at: str, active: int, waiting: object) -> Item:
    return snapshot("oncall_queue", {"active": active, "waiting": waiting}, actor=ALEX, at=at)


def resolved(at: str, seconds: int) -> Item:
    return event("incident.resolved", actor=ALEX, at=at, duration=seconds)


def test_a_day_has_what_was_resolved_and_the_longest_that_the_queue_was() -> None:
    given(
        OnCall,
        queue("2026-04-19T08:00Z", 2, {"value": 5, "unit": "count"}),
        resolved("2026-04-19T06:59Z", 600),
        resolved("2026-04-19T07:00Z", 60),
        queue("2026-04-19T09:00Z", 1, 3),
        queue("2026-04-19T08:30Z", 9, 4),
    ).expect(Load, [Load("acme", DAY, worker("alex@acme.com"), 2, 1, 660, 5.0)]).expect(
        QueueNow, [{"observed_at": NINE, "active": 1, "waiting": 3}]
    )


def test_what_comes_of_a_worker_after_a_queue_without_numbers_waits_behind_it() -> None:
    given(
        OnCall,
        queue("2026-04-19T08:00Z", 2, 5),
        queue("2026-04-19T09:00Z", 1, "many"),
        resolved("2026-04-19T09:30Z", 60),
    ).expect_parked("many").expect_parked("waits").expect(Load, [{"incidents": 0, "most_waiting": 5}])
