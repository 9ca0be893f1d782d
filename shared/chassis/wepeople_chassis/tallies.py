"""Counters and histograms for what happens thousands of times a second on the event loop.

The Prometheus client's own take a lock, and ten times as long: with them the gateway's smallest request cost a tenth
more. These only the event loop's thread may add to; they are read by the same registry, in the same form.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric


class Tally:
    """A number that only grows: `tally.count += n`."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


class Spread:
    """How often values were at most as high as each bound, and their sum."""

    __slots__ = ("_bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self._bounds, value)] += 1
        self.total += value


class TallyMetric:
    """A counter; each set of label values has a `Tally`, made by the first who asks for it."""

    kind = "counter"

    def __init__(
        self, name: str, documentation: str, labelnames: Sequence[str] = (), *, registry: CollectorRegistry = REGISTRY
    ) -> None:
        self.name = name
        self.documentation = documentation
        self.labelnames = tuple(labelnames)
        self._tallies: dict[tuple[str, ...], Tally] = {}
        registry.register(self)

    def labels(self, *values: str) -> Tally:
        """The number of these label values, in the order of their names."""
        assert len(values) == len(self.labelnames)
        return self._tallies.setdefault(values, Tally())

    def collect(self) -> Iterable[Metric]:
        """As Prometheus reads it."""
        family = CounterMetricFamily(self.name, self.documentation, labels=self.labelnames)
        for values, tally in list(self._tallies.items()):
            family.add_metric(values, tally.count)
        return (family,)


class SpreadMetric:
    """A histogram with these bounds; each set of label values has a `Spread`, made by the first who asks for it."""

    kind = "histogram"

    def __init__(
        self,
        name: str,
        documentation: str,
        labelnames: Sequence[str] = (),
        *,
        bounds: Sequence[float],
        registry: CollectorRegistry = REGISTRY,
    ) -> None:
        self.name = name
        self.documentation = documentation
        self.labelnames = tuple(labelnames)
        self._bounds = tuple(bounds)
        self._spreads: dict[tuple[str, ...], Spread] = {}
        registry.register(self)

    def labels(self, *values: str) -> Spread:
        """The distribution of these label values, in the order of their names."""
        assert len(values) == len(self.labelnames)
        return self._spreads.setdefault(values, Spread(self._bounds))

    def collect(self) -> Iterable[Metric]:
        """As Prometheus reads it."""
        family = HistogramMetricFamily(self.name, self.documentation, labels=self.labelnames)
        names = [*map(str, self._bounds), "+Inf"]
        for values, spread in list(self._spreads.items()):
            buckets = list(zip(names, accumulate(spread.counts), strict=True))
            family.add_metric(values, buckets, spread.total)
        return (family,)
