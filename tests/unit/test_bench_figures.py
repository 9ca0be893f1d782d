"""Floors, ratios and percentiles say what they claim to say."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.figures import Bound, Finding, Verdict, comparison, figure, missed
from bench.statistic import percentile, ratios, spread

POSITIVE = st.floats(0.001, 1e6)


@pytest.mark.parametrize(
    ("bound", "value", "verdict"),
    [
        (Bound(0.15, aim=0.3), 0.15, "met"),
        (Bound(0.15, aim=0.3), 0.149, "missed"),
        (Bound(12.0, at_least=False), 12.0, "met"),
        (Bound(12.0, at_least=False), 12.1, "missed"),
        (Bound(None, aim=40_000), 1.0, None),
    ],
)
def test_a_floor_is_met_at_the_limit_and_missed_beyond_it(bound: Bound, value: float, verdict: Verdict | None) -> None:
    assert bound.verdict(value) == verdict


def test_only_missed_floors_are_named() -> None:
    findings: list[Finding] = [
        comparison("gateway", "500 rows", "requests/s", ours=[10, 20, 30], limit=[100, 100, 100], bound=Bound(0.25)),
        comparison("gateway", "1 row", "requests/s", ours=[60], limit=[100], bound=Bound(0.5)),
        comparison("gateway", "beside", "requests/s", ours=[1], limit=[100]),
        figure("lag", "p99", "ms", [501.0], Bound(500.0, at_least=False)),
    ]
    named = missed(findings)
    assert [line.partition(":")[0] for line in named] == ["gateway, 500 rows", "lag, p99"]


def test_a_ratio_is_taken_round_by_round() -> None:
    # Both sides were slow in the second round: the ratio does not notice.
    assert ratios([50, 5, 40], [100, 10, 100]) == (0.5, 0.4, 0.5)


@given(st.lists(POSITIVE, min_size=1))
def test_a_spread_is_ordered_and_within_the_values(values: list[float]) -> None:
    middle, low, high = spread(values)
    assert low == min(values) <= middle <= max(values) == high


@given(st.lists(POSITIVE, min_size=1), st.floats(1, 100))
def test_at_most_the_rest_exceeds_a_percentile_and_it_is_one_of_the_values(
    values: Sequence[float], percent: float
) -> None:
    found = percentile(values, percent)
    assert found in values
    assert sum(v > found for v in values) <= len(values) * (100 - percent) / 100 + 1e-9
