"""The fold: what the stream says, whatever the order, and however often the process is replaced."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.support.envelope_heads import APRIL_NS, MONTH, head
from wepeople_contracts.envelope import EnvelopeHead
from wepeople_quota.count import BEGINNING, Account, ChargedIds, Count, Position, Snapshot, digest


@dataclass(frozen=True)
class Charging:
    """One message of a stream."""

    org: str
    period: str
    connection: str
    others: int
    named: list[str]


messages = st.lists(
    st.builds(
        Charging,
        org=st.sampled_from(["a", "b"]),
        period=st.sampled_from(["2026-03", "2026-04"]),
        connection=st.sampled_from(["custom:ci", "custom:crm"]),
        others=st.integers(0, 400),
        named=st.lists(st.sampled_from("rstuvw"), max_size=5, unique=True),
    ),
    max_size=40,
)
ACCOUNTS = [(org, period) for org in ("a", "b") for period in ("2026-03", "2026-04")]


def fold_all(count: Count, stream: Sequence[Charging], begin: int = 0) -> None:
    for sequence, one in enumerate(stream[begin:], begin + 1):
        message = head(
            f"m{sequence}",
            one.others + len(one.named),
            one.named,
            org_id=one.org,
            period=one.period,
            connection=one.connection,
        )
        count.fold(Position(sequence, message.message_id, APRIL_NS), message)


def totals(count: Count) -> list[int]:
    return [count.total(*account) for account in ACCOUNTS]


def by_app(count: Count) -> list[dict[str, int]]:
    return [count.by_connection(*account) for account in ACCOUNTS]


@given(messages)
def test_a_month_costs_its_unnamed_events_and_each_named_one_once(stream: list[Charging]) -> None:
    count = Count()
    fold_all(count, stream)
    for org, period in ACCOUNTS:
        of_month = [one for one in stream if (one.org, one.period) == (org, period)]
        named = {name for one in of_month for name in one.named}
        assert count.total(org, period) == sum(one.others for one in of_month) + len(named)


@given(messages, st.randoms(use_true_random=False))
def test_the_order_of_messages_does_not_change_an_orgs_count(stream: list[Charging], random: Any) -> None:
    one, other = Count(), Count()
    fold_all(one, stream)
    fold_all(other, random.sample(stream, len(stream)))
    assert totals(one) == totals(other)


@given(messages)
def test_what_the_apps_used_adds_up_to_what_the_org_used(stream: list[Charging]) -> None:
    count = Count()
    fold_all(count, stream)
    assert totals(count) == [sum(units.values()) for units in by_app(count)]


@given(messages, st.lists(st.integers(0, 40), max_size=4))
def test_a_count_restored_from_what_was_saved_counts_on_as_if_nothing_had_happened(
    stream: list[Charging], cuts: list[int]
) -> None:
    whole, running = Count(), Count()
    fold_all(whole, stream)
    database = Database()
    for cut in [*sorted(cut for cut in cuts if cut < len(stream)), len(stream)]:
        fold_all(running, stream[:cut], running.position.sequence)
        database.save(running.snapshot())
        running = Count()
        running.restore("now", database.position, database.units, database.charged)
        fold_all(running, stream[:cut], running.position.sequence)
    assert (totals(running), by_app(running)) == (totals(whole), by_app(whole))
    assert all(running.charged(*account) == whole.charged(*account) for account in ACCOUNTS)


class Database:
    """What snapshots leave behind."""

    def __init__(self) -> None:
        self.position = BEGINNING
        self.units: dict[Account, int] = {}
        self.charged: list[ChargedIds] = []

    def save(self, snapshot: Snapshot) -> None:
        self.position = snapshot.position
        self.units |= snapshot.units
        self.charged += snapshot.charged


def fold(count: Count, sequence: int, message: EnvelopeHead) -> None:
    count.fold(Position(sequence, message.message_id, APRIL_NS), message)


def test_an_envelope_that_charges_an_event_again_costs_one_unit_less() -> None:
    count = Count()
    fold(count, 1, head("a", 3, ["r", "s"]))
    fold(count, 2, head("b", 3, ["s", "t"]))
    assert count.total("org", MONTH) == 5
    assert count.by_connection("org", MONTH) == {"custom:ci": 5}


def test_an_envelope_that_names_an_event_twice_is_charged_for_it_once() -> None:
    count = Count()
    fold(count, 1, head("a", 3, ["r", "r"]))
    assert count.total("org", MONTH) == 2


def test_a_snapshot_holds_what_is_not_known_to_be_saved() -> None:
    count = Count()
    fold(count, 1, head("a", 1, ["r"], org_id="one"))
    first = count.snapshot()
    fold(count, 2, head("b", 2, org_id="two"))
    fold(count, 3, head("c", 4, ["s", "r"], org_id="one"))
    assert first.units == {("one", MONTH, "custom:ci"): 1}
    assert first.charged == [ChargedIds(1, "one", MONTH, digest("r"))]
    count.saved(first.position)
    second = count.snapshot()
    assert second.units == {("one", MONTH, "custom:ci"): 4, ("two", MONTH, "custom:ci"): 2}
    assert second.charged == [ChargedIds(3, "one", MONTH, digest("s"))]
    count.saved(second.position)
    assert count.snapshot() == Snapshot(Position(3, "c", APRIL_NS), after=3)


def test_months_that_can_no_longer_change_leave_memory_once_they_are_saved() -> None:
    count = Count()
    for sequence, period in enumerate(("2026-02", "2026-03", "2026-04"), 1):
        fold(count, sequence, head(period, 1, ["r"], period=period))
    count.saved(count.position)
    assert [count.total("org", period) for period in ("2026-02", "2026-03", "2026-04")] == [0, 1, 1]
    assert [len(count.charged("org", period)) for period in ("2026-02", "2026-03", "2026-04")] == [0, 1, 1]
