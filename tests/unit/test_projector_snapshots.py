"""Which of two snapshots stays."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from tests.support.folding import build, rows_of, stored
from tests.support.stored import RECEIVED_AT_US, envelope, founded, raw
from wepeople_projections.definition.projection import define
from wepeople_projector.models.live import Live
from wepeople_projector.models.snapshots import LatestSnapshot

RECEIVED_AT = datetime(2026, 4, 19, 12, tzinfo=UTC)


def snapshot(timestamp: datetime | None, metrics: bytes = b"{}") -> bytes:
    fields = {"snapshotType": "gauge", "actor": {"externalId": "e"}}
    at = {} if timestamp is None else {"timestamp": timestamp.isoformat()}
    return raw(fields | at)[:-1] + b', "metrics": ' + metrics + b"}"


def latest(*rows: bytes, sizes: tuple[int, ...] = ()) -> LatestSnapshot:
    """What stays of snapshots that came in this order."""
    requests = [envelope("org", [row], kind="snapshot", received_at_us=RECEIVED_AT_US) for row in rows]
    [found] = rows_of(build(define(Live), stored(founded("org"), *requests), sizes), LatestSnapshot)
    return found


def test_a_fast_clock_does_not_date_a_snapshot_into_the_future() -> None:
    assert latest(snapshot(RECEIVED_AT + timedelta(minutes=50))).observed_at == RECEIVED_AT_US
    assert latest(snapshot(RECEIVED_AT - timedelta(minutes=50))).observed_at == RECEIVED_AT_US - 3_000_000_000
    assert latest(snapshot(None)).observed_at == RECEIVED_AT_US


def test_metrics_stay_as_they_were_sent() -> None:
    metrics = b'{ "b": 2, "a": {"value": 1} }'
    found = latest(snapshot(None, metrics))
    assert (found.metrics, found.sequence, found.snapshot_type, found.connection) == (metrics, 2, "gauge", "custom:ci")


@given(st.lists(st.integers(0, 3), min_size=1, max_size=8), st.lists(st.integers(1, 4), max_size=8))
def test_the_latest_observation_wins_and_then_the_later_in_the_stream_whatever_the_order_and_the_batching(
    minutes: list[int], sizes: list[int]
) -> None:
    rows = [snapshot(RECEIVED_AT - timedelta(minutes=ago)) for ago in minutes]
    _, expected = min((ago, -sequence) for sequence, ago in enumerate(minutes, 2))
    assert latest(*rows, sizes=tuple(sizes)).sequence == -expected
