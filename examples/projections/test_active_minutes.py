"""What active_minutes.py makes of the stream."""

from datetime import date

from active_minutes import LONGEST_MINUTES, ActiveMinute, ActiveMinutes

from wepeople_projections.kit import event, given, worker

KIM = {"externalId": "eng-17"}
DAY, NEXT = date(2026, 4, 19), date(2026, 4, 20)


def test_two_events_in_one_minute_are_one_active_minute() -> None:
    given(
        ActiveMinutes,
        event("review.done", actor=KIM, at="2026-04-19T09:00:59Z"),
        event("review.done", actor=KIM, at="2026-04-19T09:00:01Z"),
        event("review.done", actor=KIM, at="2026-04-19T09:01:00Z"),
    ).expect(
        ActiveMinute,
        [
            ActiveMinute("acme", DAY, worker("eng-17"), minute=540, events=2),
            ActiveMinute("acme", DAY, worker("eng-17"), minute=541, events=1),
        ],
    )


def test_an_event_with_a_duration_was_going_on_before_also_over_midnight() -> None:
    given(ActiveMinutes, event("deploy.shipped", actor=KIM, at="2026-04-20T00:01:30Z", duration=150)).expect(
        ActiveMinute,
        [
            {"day": DAY, "minute": 1439, "events": 0},
            {"day": NEXT, "minute": 0, "events": 0},
            {"day": NEXT, "minute": 1, "events": 1},
        ],
    )


def test_a_duration_beyond_all_bounds_counts_as_four_hours() -> None:
    given(ActiveMinutes, event("deploy.shipped", actor=KIM, at="2026-04-19T12:00Z", duration=1e12)).expect(
        ActiveMinute,
        [{"minute": 720 - ago, "events": int(ago == 0)} for ago in range(LONGEST_MINUTES + 1)],
    )
