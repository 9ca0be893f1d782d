"""The month's ledger: a state machine against a plain model, and the rules one by one."""

from dataclasses import dataclass
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.support.envelope_heads import MONTH, head
from wepeople_contracts.envelope import EnvelopeHead
from wepeople_quota.count import Position
from wepeople_quota.ledger import Held, Ledger

SECOND = 10**9
DURATION = 30 * SECOND
REMEMBER = 600 * SECOND


def make_ledger() -> Ledger:
    return Ledger(reservation_seconds=30, remember_seconds=600)


def reserve(ledger: Ledger, message_id: str, units: int, limit: int | None = 100, **changed: Any) -> Held:
    arguments: dict[str, Any] = {"org_id": "org", "period": MONTH, "now_ns": 0} | changed
    return ledger.reserve(message_id=message_id, units=units, month_limit=limit, **arguments)


def fold(ledger: Ledger, sequence: int, message: EnvelopeHead, stored_at_ns: int = 0) -> None:
    ledger.fold(Position(sequence, message.message_id, stored_at_ns), message)


@dataclass
class Model:
    """What a reservation should be, said plainly."""

    units: int
    named: list[str]
    holders: int
    expires_at_ns: int


class LedgerMachine(RuleBasedStateMachine):
    """Requests that reserve, publish or fail, in any order, while the stream is folded and time passes."""

    IDS = st.sampled_from([f"id{n}" for n in range(8)])
    NAMED = st.lists(st.sampled_from([f"evt{n}" for n in range(6)]), max_size=6, unique=True)

    @initialize(limit=st.integers(0, 40))
    def begin(self, limit: int) -> None:
        self.ledger = make_ledger()
        self.limit = limit
        self.now_ns = 0
        self.sequence = 0
        self.used = 0
        self.charged: set[str] = set()
        self.live: dict[str, Model] = {}
        self.stored: dict[str, int] = {}

    @rule(message_id=IDS, units=st.integers(0, 15), named=NAMED)
    def request(self, message_id: str, units: int, named: list[str]) -> None:
        assert self.ledger.seen(message_id) == self.stored.get(message_id)
        if message_id in self.stored:
            return
        mine = self.live.get(message_id)
        held_by_others = {e for m, held in self.live.items() if m != message_id for e in held.named}
        known = frozenset(named) & (self.charged | held_by_others)
        new = [e for e in named if e not in known]
        room = self.limit - self.used - sum(held.units for held in self.live.values())
        expected = min(units + len(new), room + (mine.units if mine else 0))
        held = reserve(self.ledger, message_id, units, self.limit, event_ids=named, now_ns=self.now_ns)
        assert held == Held(expected, MONTH, known)
        surely_charged = new[: max(expected - units, 0)]
        if mine and (units or named):
            named_by_all = list(dict.fromkeys([*mine.named, *surely_charged]))
            self.live[message_id] = Model(
                max(mine.units, expected), named_by_all, mine.holders + 1, self.now_ns + DURATION
            )
        elif expected:
            self.live[message_id] = Model(expected, surely_charged, 1, self.now_ns + DURATION)

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def message_is_folded(self, data: st.DataObject) -> None:
        message_id = data.draw(st.sampled_from(sorted(self.live)))
        held = self.live.pop(message_id)
        named = data.draw(st.lists(st.sampled_from(held.named), unique=True)) if held.named else []
        self._fold(message_id, data.draw(st.integers(len(named), held.units)), named)

    @rule(named=NAMED, others=st.integers(0, 3))
    def message_that_nobody_asked_about_is_folded(self, named: list[str], others: int) -> None:
        self.limit += others + len(named)
        self._fold(f"alone{self.sequence}", others + len(named), named)

    def _fold(self, message_id: str, units: int, named: list[str]) -> None:
        self.sequence += 1
        fold(self.ledger, self.sequence, head(message_id, units, named), self.now_ns)
        self.used += units - len(set(named) & self.charged)
        self.charged |= set(named)
        self.stored[message_id] = self.sequence

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def request_fails(self, data: st.DataObject) -> None:
        message_id = data.draw(st.sampled_from(sorted(self.live)))
        self.ledger.release("org", message_id)
        self.live[message_id].holders -= 1
        if self.live[message_id].holders == 0:
            del self.live[message_id]

    @rule(seconds=st.sampled_from([1, 10, 29, 30, 45]))
    def time_passes(self, seconds: int) -> None:
        self.now_ns += seconds * SECOND
        self.ledger.advance(self.now_ns)
        self.live = {m: held for m, held in self.live.items() if held.expires_at_ns > self.now_ns}

    @invariant()
    def the_month_is_never_overdrawn(self) -> None:
        used, reserved = self.ledger.usage("org", MONTH)
        assert (used, reserved) == (self.used, sum(held.units for held in self.live.values()))
        assert used + reserved <= self.limit


TestLedger = LedgerMachine.TestCase
TestLedger.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def test_units_are_granted_until_the_month_is_full() -> None:
    ledger = make_ledger()
    assert [reserve(ledger, str(n), 4, limit=10).units for n in range(4)] == [4, 4, 2, 0]


def test_a_month_without_a_limit_is_never_full() -> None:
    ledger = make_ledger()
    assert reserve(ledger, "a", 500, limit=None).units == 500
    assert ledger.usage("org", MONTH) == (0, 500)


def test_a_request_with_the_same_id_shares_the_reservation_raised_to_the_larger_of_both() -> None:
    ledger = make_ledger()
    assert reserve(ledger, "a", 5, limit=12).units == 5
    assert reserve(ledger, "a", 8, limit=12).units == 8
    assert reserve(ledger, "a", 3, limit=12).units == 3
    assert ledger.usage("org", MONTH) == (0, 8)
    assert reserve(ledger, "b", 10, limit=12).units == 4
    assert reserve(ledger, "a", 20, limit=12).units == 8


def test_a_shared_reservation_is_free_only_when_everyone_gave_it_back() -> None:
    ledger = make_ledger()
    reserve(ledger, "a", 5)
    reserve(ledger, "a", 5)
    ledger.release("org", "a")
    assert ledger.usage("org", MONTH) == (0, 5)
    ledger.release("org", "a")
    assert ledger.usage("org", MONTH) == (0, 0)


def test_nobody_releases_what_another_org_holds() -> None:
    ledger = make_ledger()
    reserve(ledger, "a", 5)
    ledger.release("other", "a")
    assert ledger.usage("org", MONTH) == (0, 5)


def test_folding_turns_a_reservation_into_what_the_envelope_says() -> None:
    ledger = make_ledger()
    reserve(ledger, "a", 5)
    fold(ledger, 7, head("a", 3))
    assert ledger.usage("org", MONTH) == (3, 0)
    assert ledger.seen("a") == 7


def test_an_envelope_is_charged_to_its_own_period() -> None:
    ledger = make_ledger()
    fold(ledger, 1, head("a", 3, period="2026-03"))
    assert ledger.usage("org", "2026-03") == (3, 0)
    assert ledger.usage("org", MONTH) == (0, 0)


def test_a_reservation_shared_across_the_turn_of_the_month_stays_in_the_month_in_which_it_was_made() -> None:
    ledger = make_ledger()
    reserve(ledger, "a", 5, period="2026-03")
    assert reserve(ledger, "a", 5, period="2026-04") == Held(5, "2026-03")
    assert ledger.usage("org", "2026-04") == (0, 0)


def test_a_reservation_expires_once_the_stream_is_read_past_its_time_and_not_before() -> None:
    ledger = make_ledger()
    reserve(ledger, "a", 5, now_ns=SECOND)
    ledger.advance(SECOND + DURATION - 1)
    assert ledger.usage("org", MONTH) == (0, 5)
    ledger.advance(SECOND + DURATION)
    assert ledger.usage("org", MONTH) == (0, 0)


def test_asking_again_gives_a_reservation_its_whole_time_again() -> None:
    ledger = make_ledger()
    reserve(ledger, "a", 5, now_ns=0)
    reserve(ledger, "b", 5, now_ns=SECOND)
    reserve(ledger, "a", 5, now_ns=20 * SECOND)
    ledger.advance(DURATION + SECOND)
    assert ledger.usage("org", MONTH) == (0, 5)
    ledger.advance(DURATION + 20 * SECOND)
    assert ledger.usage("org", MONTH) == (0, 0)


def test_an_id_is_remembered_for_the_duplicate_window() -> None:
    ledger = make_ledger()
    fold(ledger, 1, head("a", 1), stored_at_ns=SECOND)
    ledger.advance(REMEMBER)
    assert ledger.seen("a") == 1
    ledger.advance(REMEMBER + SECOND)
    assert ledger.seen("a") is None


def test_an_id_stored_again_after_the_window_is_known_by_its_later_sequence() -> None:
    ledger = make_ledger()
    fold(ledger, 1, head("a", 1), stored_at_ns=0)
    fold(ledger, 9, head("a", 1), stored_at_ns=REMEMBER + SECOND)
    ledger.advance(REMEMBER + 2 * SECOND)
    assert ledger.seen("a") == 9


def test_a_named_event_costs_nothing_once_its_month_has_charged_it() -> None:
    ledger = make_ledger()
    fold(ledger, 1, head("a", 2, ["r", "s"]))
    assert reserve(ledger, "b", 1, event_ids=["r", "t"]) == Held(2, MONTH, frozenset({"r"}))
    assert reserve(ledger, "c", 1, event_ids=["r"], period="2026-05") == Held(2, "2026-05")


def test_a_named_event_costs_nothing_while_another_request_holds_it_and_costs_again_when_that_fails() -> None:
    ledger = make_ledger()
    assert reserve(ledger, "a", 0, event_ids=["r"]) == Held(1, MONTH)
    assert reserve(ledger, "b", 0, event_ids=["r"]) == Held(0, MONTH, frozenset({"r"}))
    assert reserve(ledger, "a", 0, event_ids=["r"]) == Held(1, MONTH)
    ledger.release("org", "a")
    ledger.release("org", "a")
    assert reserve(ledger, "b", 0, event_ids=["r"]) == Held(1, MONTH)


def test_known_events_fit_into_a_full_month() -> None:
    ledger = make_ledger()
    fold(ledger, 1, head("a", 10, ["r"]))
    assert reserve(ledger, "b", 1, limit=10, event_ids=["r", "s"]) == Held(0, MONTH, frozenset({"r"}))


def test_of_a_request_that_does_not_fit_only_those_named_events_are_held_that_it_surely_charges() -> None:
    ledger = make_ledger()
    assert reserve(ledger, "a", 2, limit=4, event_ids=["r", "s", "t"]) == Held(4, MONTH)
    assert reserve(ledger, "b", 0, limit=9, event_ids=["r", "s", "t"]) == Held(1, MONTH, frozenset({"r", "s"}))


def test_a_request_for_no_units_holds_nothing() -> None:
    ledger = make_ledger()
    reserve(ledger, "a", 5)
    assert reserve(ledger, "a", 0) == Held(0, MONTH)
    ledger.release("org", "a")
    assert ledger.usage("org", MONTH) == (0, 0)
