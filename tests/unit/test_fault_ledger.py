"""The ledger that judges the fault tests is itself judged: each kind of damage must be seen, and nothing else."""

from tests.support.ledger import Gauge, Ledger, SentRequest


def ledger() -> Ledger:
    """Request `a` of two events was accepted, `b` has no answer."""
    book = Ledger()
    a, b = SentRequest("a", ("a-0", "a-1"), 1.0), SentRequest("b", ("b-0", "b-1"), 2.0)
    book.send(a)
    book.send(b)
    book.promise(a, ["evt_1", "evt_2"])
    return book


KEPT = [("a-0", "evt_1"), ("a-1", "evt_2")]
UNKNOWN = [("b-0", "evt_3"), ("b-1", "evt_4")]


def test_kept_promises_are_no_finding() -> None:
    assert ledger().compare_events(KEPT).all() == {}


def test_a_request_of_unknown_outcome_may_be_there_once() -> None:
    assert ledger().compare_events(KEPT + UNKNOWN).all() == {}


def test_an_accepted_event_that_is_missing_is_lost() -> None:
    assert ledger().compare_events([]).all() == {"lost": {"a-0", "a-1"}}


def test_a_request_of_which_only_a_part_is_there_is_torn() -> None:
    assert ledger().compare_events(KEPT[:1]).all() == {"lost": {"a-1"}, "torn": {"a-0"}}
    assert ledger().compare_events(KEPT + UNKNOWN[1:]).all() == {"torn": {"b-0"}}


def test_an_event_that_is_there_twice_is_doubled_whatever_its_outcome() -> None:
    twice = [*KEPT, *UNKNOWN, ("a-0", "evt_1"), ("b-0", "evt_5")]
    assert ledger().compare_events(twice).all() == {"doubled": {"a-0", "b-0"}}


def test_an_event_under_another_id_than_answered_is_renamed() -> None:
    assert ledger().compare_events([("a-0", "evt_9"), KEPT[1]]).all() == {"renamed": {"a-0"}}


def test_an_event_that_nobody_sent_is_a_stranger() -> None:
    assert ledger().compare_events([*KEPT, ("x-0", "evt_9")]).all() == {"strangers": {"x-0"}}


def snapshots(*accepted: str) -> Ledger:
    """Of worker w's gauge q: `old`, then `new`."""
    book = Ledger()
    for key, at in (("old", 1), ("new", 2)):
        request = SentRequest(key, (f"{key}-0",), 0.0, Gauge("w", "q", at))
        book.send(request)
        if key in accepted:
            book.promise(request, [f"evt_{key}"])
    return book


def test_the_newest_accepted_snapshot_must_be_shown() -> None:
    place = ("w", "q")
    assert snapshots("old", "new").compare_snapshots({place: "new-0"}) == []
    assert snapshots("old", "new").compare_snapshots({place: "old-0"}) != []
    assert snapshots("old", "new").compare_snapshots({}) != []


def test_a_newer_snapshot_of_unknown_outcome_may_be_shown_or_not() -> None:
    place = ("w", "q")
    assert snapshots("old").compare_snapshots({place: "new-0"}) == []
    assert snapshots("old").compare_snapshots({place: "old-0"}) == []


def test_a_snapshot_of_somebody_else_is_wrong() -> None:
    assert snapshots("old", "new").compare_snapshots({("w", "q"): "new-0", ("v", "q"): "old-0"}) != []


def test_promised_events_count_events_and_no_snapshots() -> None:
    assert ledger().promised_events() == 2
    assert snapshots("old", "new").promised_events() == 0
