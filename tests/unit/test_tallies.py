"""Our own counters and histograms say to Prometheus just what its client's would."""

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from wepeople_chassis.tallies import SpreadMetric, TallyMetric

BOUNDS = (0.001, 0.5, 1.0, 2.5)
WORDS = st.sampled_from(["a", "b"])


def told(registry: CollectorRegistry) -> list[str]:
    return sorted(line for line in generate_latest(registry).decode().splitlines() if "_created" not in line)


@given(st.lists(st.tuples(WORDS, st.integers(0, 1000))))
def test_a_tally_is_a_counter(added: list[tuple[str, int]]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    tally = TallyMetric("x_total", "Some.", ["word"], registry=ours)
    counter = Counter("x_total", "Some.", ["word"], registry=theirs)
    for word, number in added:
        tally.labels(word).count += number
        counter.labels(word).inc(number)
    assert told(ours) == told(theirs)


@given(st.lists(st.tuples(WORDS, st.sampled_from(BOUNDS) | st.floats(0, 10))))
def test_a_spread_is_a_histogram_on_its_bounds_too(observed: list[tuple[str, float]]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    spread = SpreadMetric("x", "Some.", ["word"], bounds=BOUNDS, registry=ours)
    histogram = Histogram("x", "Some.", ["word"], buckets=BOUNDS, registry=theirs)
    for word, value in observed:
        spread.labels(word).observe(value)
        histogram.labels(word).observe(value)
    assert told(ours) == told(theirs)


def test_without_labels_there_is_one_of_each() -> None:
    registry = CollectorRegistry()
    TallyMetric("x_total", "Some.", registry=registry).labels().count += 3
    assert "x_total 3.0" in told(registry)
