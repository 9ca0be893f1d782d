"""Which of two snapshots stays."""

import random
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from tests.support.stored import RECEIVED_AT_US, envelope
from wepeople_contracts.envelope import AcceptedRow
from wepeople_contracts.rows import Actor, SnapshotRow
from wepeople_projector.projections.snapshots.rows import LatestSnapshot, SnapshotKey, keep_newest, latest_snapshot
from wepeople_projector.projections.times import observed_at_us, occurred_at_us

KEY = SnapshotKey("org", "wrk", "custom:ci", "oncall_queue")
RECEIVED_AT = datetime(2026, 4, 19, 12, tzinfo=UTC)


def snapshot(observed_at_us: int, sequence: int) -> LatestSnapshot:
    return LatestSnapshot(KEY, "app", "evt", "req", sequence, observed_at_us, RECEIVED_AT_US, b"{}")


def test_an_event_happened_at_its_timestamp_or_when_it_was_received() -> None:
    assert occurred_at_us(datetime(1970, 1, 1, 0, 0, 1, 5, UTC), RECEIVED_AT_US) == 1_000_005
    assert occurred_at_us(snapshot_row().timestamp, RECEIVED_AT_US) == RECEIVED_AT_US


def test_a_fast_clock_does_not_date_a_snapshot_into_the_future() -> None:
    assert observed_at_us(RECEIVED_AT + timedelta(minutes=50), RECEIVED_AT_US) == RECEIVED_AT_US
    assert observed_at_us(RECEIVED_AT - timedelta(minutes=50), RECEIVED_AT_US) == RECEIVED_AT_US - 3_000_000_000


def test_the_oldest_and_the_newest_time_that_a_row_can_carry_are_kept_exactly() -> None:
    oldest, newest = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    assert occurred_at_us(oldest, 0) == -62_135_596_800_000_000
    assert occurred_at_us(newest, 0) == 253_402_300_799_999_999


def test_metrics_stay_as_they_were_sent() -> None:
    metrics = b'{ "b": 2, "a": {"value": 1} }'
    found = latest_snapshot(envelope("org", []), 7, AcceptedRow(0, "evt", b""), snapshot_row(metrics), "wrk")
    assert (found.metrics, found.sequence, found.key) == (metrics, 7, KEY._replace(snapshot_type="gauge"))


@given(st.lists(st.integers(0, 3), min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_the_latest_observation_wins_and_then_the_later_in_the_stream_whatever_the_order(
    observed: list[int], order: random.Random
) -> None:
    snapshots = [snapshot(at, sequence) for sequence, at in enumerate(observed)]
    expected = max(snapshots, key=lambda s: (s.observed_at_us, s.sequence))
    order.shuffle(snapshots)
    kept: dict[SnapshotKey, LatestSnapshot] = {}
    for one in snapshots:
        keep_newest(kept, one)
    assert kept == {KEY: expected}


def snapshot_row(metrics: bytes = b"{}") -> SnapshotRow:
    return SnapshotRow("gauge", Actor(external_id="e"), Raw(metrics))
