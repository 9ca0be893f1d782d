"""The verdict: rate before anything, then what is stored already, then the month."""

from datetime import UTC, datetime
from typing import Any

from tests.support.envelope_heads import head
from wepeople_contracts.quota import AppUsage, Granted, RateLimited, Release, Reserve, Seen, UsageQuery
from wepeople_quota.count import Position
from wepeople_quota.ledger import Ledger
from wepeople_quota.owner import Now, Owner
from wepeople_quota.window import Windows

SECOND = 10**9


def moment(text: str = "2026-04-19T12:00:00", monotonic_ns: int = 0) -> Now:
    return Now(monotonic_ns, int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * SECOND)


def request(message_id: str | None, units: int = 1, **changed: Any) -> Reserve:
    fields = {"org_id": "org", "key_id": "key", "key_limit": 10**6, "org_limit": 10**6, "month_limit": 10} | changed
    return Reserve(message_id=message_id, units=units, **fields)


class TestVerdict:
    def setup_method(self) -> None:
        self.ledger = Ledger(reservation_seconds=30, remember_seconds=600)
        self.owner = Owner(self.ledger, Windows())

    def ask(self, message_id: str | None, units: int = 1, now: Now | None = None, **changed: Any) -> Any:
        return self.owner.decide(request(message_id, units, **changed), now or moment(), epoch=7).verdict

    def fold(self, message_id: str, units: int, sequence: int = 1) -> None:
        self.ledger.fold(Position(sequence, message_id, 0), head(message_id, units))

    def test_a_grant_names_the_month_its_end_and_the_owner(self) -> None:
        verdict = self.ask("a", 4)
        assert isinstance(verdict, Granted)
        assert (verdict.units, verdict.period, verdict.epoch) == (4, "2026-04", 7)
        assert verdict.month_resets_at == datetime(2026, 5, 1, tzinfo=UTC)

    def test_only_what_fits_into_the_month_is_granted(self) -> None:
        assert [self.ask(str(n), 4).units for n in range(4)] == [4, 4, 2, 0]

    def test_a_new_month_begins_empty(self) -> None:
        self.ask("a", 10)
        verdict = self.ask("b", 10, moment("2026-05-01T00:00:00"))
        assert (verdict.units, verdict.period) == (10, "2026-05")

    def test_a_retry_after_the_turn_of_the_month_belongs_to_the_month_of_its_reservation(self) -> None:
        self.ask("a", 10, moment("2026-04-30T23:59:59"))
        verdict = self.ask("a", 10, moment("2026-05-01T00:00:00"))
        assert (verdict.units, verdict.period) == (10, "2026-04")
        assert verdict.month_resets_at == datetime(2026, 5, 1, tzinfo=UTC)

    def test_a_stored_id_is_answered_by_its_sequence_even_when_the_month_is_full(self) -> None:
        self.fold("a", 10, sequence=42)
        self.ledger.stream = "INGEST_8"
        seen = self.ask("a", 10)
        assert isinstance(seen, Seen)
        assert (seen.stream, seen.sequence) == ("INGEST_8", 42)
        assert self.ask("b", 1).units == 0

    def test_a_stored_id_is_answered_by_its_sequence_when_no_units_are_asked(self) -> None:
        self.fold("a", 0, sequence=42)
        assert self.ask("a", 0).sequence == 42

    def test_a_stored_id_costs_rate_and_nothing_else(self) -> None:
        self.fold("a", 3)
        assert isinstance(self.ask("a", 3, key_limit=1), Seen)
        assert isinstance(self.ask("a", 3, key_limit=1), RateLimited)
        assert self.owner.usage(UsageQuery(org_id="org"), moment()).reserved == 0

    def test_a_refused_request_reserves_nothing(self) -> None:
        self.ask("a", 1, key_limit=1)
        refused = self.ask("b", 5, key_limit=1)
        assert isinstance(refused, RateLimited)
        assert (refused.scope, refused.retry_after_seconds, refused.key_window.remaining) == ("key", 1.0, 0)
        assert self.owner.usage(UsageQuery(org_id="org"), moment()).reserved == 1

    def test_a_request_that_can_store_nothing_costs_rate_only(self) -> None:
        verdict = self.ask(None, 0, month_limit=0)
        assert isinstance(verdict, Granted)
        assert verdict.units == 0
        assert isinstance(self.ask(None, 0, key_limit=1), RateLimited)

    def test_the_wait_in_seconds_is_never_shorter_than_the_wait(self) -> None:
        self.ask(None, 0, moment(monotonic_ns=1), key_limit=1)
        refused = self.ask(None, 0, moment(monotonic_ns=2), key_limit=1)
        assert int(refused.retry_after_seconds * SECOND) >= SECOND - 1

    def test_usage_tells_what_is_stored_and_what_is_in_flight(self) -> None:
        self.ask("a", 3)
        self.ask("b", 2)
        self.ask("c", 2)
        self.fold("a", 3)
        self.owner.release(Release(org_id="org", message_id="c"))
        usage = self.owner.usage(UsageQuery(org_id="org"), moment())
        assert (usage.period, usage.used, usage.reserved) == ("2026-04", 3, 2)
        assert usage.resets_at == datetime(2026, 5, 1, tzinfo=UTC)
        assert usage.apps == [AppUsage(connection="custom:ci", used=3)]

    def test_a_grant_names_the_events_that_cost_nothing(self) -> None:
        self.ask("a", 0, event_ids=["evt_r"])
        verdict = self.ask("b", 1, event_ids=["evt_r", "evt_s"])
        assert (verdict.units, verdict.known_event_ids) == (2, frozenset({"evt_r"}))
