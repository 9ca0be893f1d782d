"""The month's ledger: a state machine against a plain model, and the rules one by one."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from wepeople_contracts.envelope import Charge, EnvelopeHead
from wepeople_quota.ledger import Held, Ledger, Position

SECOND = 10**9
LEASE = 30 * SECOND
REMEMBER = 600 * SECOND
MONTH = "2026-04"
APRIL_NS = 1_776_600_000 * SECOND


def make_ledger() -> Ledger:
    return Ledger(lease_seconds=30, remember_seconds=600)


def reserve(ledger: Ledger, message_id: str, units: int, limit: int | None = 100, **changed: Any) -> Held:
    arguments: dict[str, Any] = {"org_id": "org", "period": MONTH, "now_ns": 0} | changed
    return ledger.reserve(message_id=message_id, units=units, month_limit=limit, **arguments)


def envelope(message_id: str, units: int, *, org_id: str = "org", period: str = MONTH) -> EnvelopeHead:
    return EnvelopeHead(
        org_id=org_id,
        app_id="app",
        connection="custom:ci",
        message_id=message_id,
        received_at_us=0,
        charge=Charge(period, units, 1),
    )


def fold(ledger: Ledger, sequence: int, head: EnvelopeHead, stored_at_ns: int = 0) -> None:
    ledger.fold(Position(sequence, head.message_id, stored_at_ns), head)


class LedgerMachine(RuleBasedStateMachine):
    """Requests that reserve, publish or fail, in any order, while the stream is folded and time passes."""

    IDS = st.sampled_from([f"id{n}" for n in range(8)])

    @initialize(limit=st.integers(0, 40))
    def begin(self, limit: int) -> None:
        self.ledger = make_ledger()
        self.limit = limit
        self.now_ns = 0
        self.sequence = 0
        self.used = 0
        # message id -> [units, holders, expires at]
        self.live: dict[str, list[int]] = {}
        self.stored: dict[str, int] = {}

    @rule(message_id=IDS, units=st.integers(0, 15))
    def request(self, message_id: str, units: int) -> None:
        assert self.ledger.seen(message_id) == self.stored.get(message_id)
        if message_id in self.stored:
            return
        room = self.limit - self.used - sum(units for units, _, _ in self.live.values())
        mine = self.live.get(message_id)
        expected = min(units, room + (mine[0] if mine else 0))
        held = reserve(self.ledger, message_id, units, self.limit, now_ns=self.now_ns)
        assert held == Held(expected, MONTH)
        if mine and units:
            mine[:] = [max(mine[0], expected), mine[1] + 1, self.now_ns + LEASE]
        elif expected:
            self.live[message_id] = [expected, 1, self.now_ns + LEASE]

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def message_is_folded(self, data: st.DataObject) -> None:
        message_id = data.draw(st.sampled_from(sorted(self.live)))
        units = data.draw(st.integers(0, self.live.pop(message_id)[0]))
        self.sequence += 1
        fold(self.ledger, self.sequence, envelope(message_id, units), self.now_ns)
        self.used += units
        self.stored[message_id] = self.sequence

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def request_fails(self, data: st.DataObject) -> None:
        message_id = data.draw(st.sampled_from(sorted(self.live)))
        self.ledger.release("org", message_id)
        self.live[message_id][1] -= 1
        if self.live[message_id][1] == 0:
            del self.live[message_id]

    @rule(seconds=st.sampled_from([1, 10, 29, 30, 45]))
    def time_passes(self, seconds: int) -> None:
        self.now_ns += seconds * SECOND
        self.ledger.advance(self.now_ns)
        self.live = {m: r for m, r in self.live.items() if r[2] > self.now_ns}

    @invariant()
    def the_month_is_never_overdrawn(self) -> None:
        used, reserved = self.ledger.usage("org", MONTH)
        assert (used, reserved) == (self.used, sum(units for units, _, _ in self.live.values()))
        assert used + reserved <= self.limit


TestLedger = LedgerMachine.TestCase
TestLedger.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


heads = st.lists(
    st.tuples(
        st.sampled_from(["a", "b"]), st.sampled_from(["2026-03", "2026-04"]), st.integers(0, 500), st.integers(0, 20)
    ),
    max_size=40,
)


@given(heads, st.randoms(use_true_random=False))
def test_the_order_of_messages_does_not_change_the_count(
    messages: list[tuple[str, str, int, int]], random: Any
) -> None:
    def count(order: list[tuple[str, str, int, int]]) -> dict[tuple[str, str], int]:
        ledger = make_ledger()
        for sequence, (org, period, units, number) in enumerate(order, 1):
            fold(ledger, sequence, envelope(f"{org}{number}", units, org_id=org, period=period))
        return ledger.snapshot().changed

    shuffled = random.sample(messages, len(messages))
    assert count(messages) == count(shuffled)


@given(heads, st.integers(0, 40))
def test_a_ledger_restored_from_a_snapshot_counts_on_as_if_nothing_had_happened(
    messages: list[tuple[str, str, int, int]], cut: int
) -> None:
    def count(ledger: Ledger, numbered: list[tuple[int, tuple[str, str, int, int]]]) -> None:
        for sequence, (org, period, units, number) in numbered:
            fold(ledger, sequence, envelope(f"{org}{number}", units, org_id=org, period=period), APRIL_NS)

    numbered = list(enumerate(messages, 1))
    whole, before, after = make_ledger(), make_ledger(), make_ledger()
    count(whole, numbered)
    count(before, numbered[:cut])
    snapshot = before.snapshot()
    after.restore(snapshot.position, [(org, period, units) for (org, period), units in snapshot.changed.items()])
    count(after, numbered[cut:])
    for org in ("a", "b"):
        for period in ("2026-03", "2026-04"):
            assert after.usage(org, period) == whole.usage(org, period)


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
    fold(ledger, 7, envelope("a", 3))
    assert ledger.usage("org", MONTH) == (3, 0)
    assert ledger.seen("a") == 7


def test_an_envelope_is_charged_to_its_own_period() -> None:
    ledger = make_ledger()
    fold(ledger, 1, envelope("a", 3, period="2026-03"))
    assert ledger.usage("org", "2026-03") == (3, 0)
    assert ledger.usage("org", MONTH) == (0, 0)


def test_a_reservation_shared_across_the_turn_of_the_month_stays_in_the_month_in_which_it_was_made() -> None:
    ledger = make_ledger()
    reserve(ledger, "a", 5, period="2026-03")
    assert reserve(ledger, "a", 5, period="2026-04") == Held(5, "2026-03")
    assert ledger.usage("org", "2026-04") == (0, 0)


def test_a_reservation_expires_once_the_stream_is_read_past_its_lease_and_not_before() -> None:
    ledger = make_ledger()
    reserve(ledger, "a", 5, now_ns=SECOND)
    ledger.advance(SECOND + LEASE - 1)
    assert ledger.usage("org", MONTH) == (0, 5)
    ledger.advance(SECOND + LEASE)
    assert ledger.usage("org", MONTH) == (0, 0)


def test_asking_again_renews_the_lease() -> None:
    ledger = make_ledger()
    reserve(ledger, "a", 5, now_ns=0)
    reserve(ledger, "b", 5, now_ns=SECOND)
    reserve(ledger, "a", 5, now_ns=20 * SECOND)
    ledger.advance(LEASE + SECOND)
    assert ledger.usage("org", MONTH) == (0, 5)
    ledger.advance(LEASE + 20 * SECOND)
    assert ledger.usage("org", MONTH) == (0, 0)


def test_an_id_is_remembered_for_the_duplicate_window() -> None:
    ledger = make_ledger()
    fold(ledger, 1, envelope("a", 1), stored_at_ns=SECOND)
    ledger.advance(REMEMBER)
    assert ledger.seen("a") == 1
    ledger.advance(REMEMBER + SECOND)
    assert ledger.seen("a") is None


def test_an_id_stored_again_after_the_window_is_known_by_its_later_sequence() -> None:
    ledger = make_ledger()
    fold(ledger, 1, envelope("a", 1), stored_at_ns=0)
    fold(ledger, 9, envelope("a", 1), stored_at_ns=REMEMBER + SECOND)
    ledger.advance(REMEMBER + 2 * SECOND)
    assert ledger.seen("a") == 9


def test_a_request_for_no_units_holds_nothing() -> None:
    ledger = make_ledger()
    reserve(ledger, "a", 5)
    assert reserve(ledger, "a", 0) == Held(0, MONTH)
    ledger.release("org", "a")
    assert ledger.usage("org", MONTH) == (0, 0)


def test_a_snapshot_holds_what_changed_since_the_last_one_that_was_saved() -> None:
    ledger = make_ledger()
    fold(ledger, 1, envelope("a", 1, org_id="one"), APRIL_NS)
    first = ledger.snapshot()
    fold(ledger, 2, envelope("b", 2, org_id="two"), APRIL_NS)
    fold(ledger, 3, envelope("c", 4, org_id="one"), APRIL_NS)
    ledger.saved(first)
    second = ledger.snapshot()
    assert first.changed == {("one", MONTH): 1}
    assert second.changed == {("one", MONTH): 5, ("two", MONTH): 2}
    ledger.saved(second)
    assert ledger.snapshot().changed == {}
    assert ledger.snapshot().position == Position(3, "c", APRIL_NS)


def test_months_that_can_no_longer_change_leave_memory_once_they_are_saved() -> None:
    ledger = make_ledger()
    for sequence, period in enumerate(("2026-02", "2026-03", "2026-04"), 1):
        fold(ledger, sequence, envelope(period, 1, period=period), APRIL_NS)
    ledger.saved(ledger.snapshot())
    assert [ledger.usage("org", period)[0] for period in ("2026-02", "2026-03", "2026-04")] == [0, 1, 1]
