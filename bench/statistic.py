"""Medians, percentiles and spreads. Pure."""

import math
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple


class Spread(NamedTuple):
    """The median over the rounds, with the lowest and the highest."""

    middle: float
    low: float
    high: float

    def scaled(self, factor: float) -> "Spread":
        """The same in another unit."""
        return Spread(self.middle * factor, self.low * factor, self.high * factor)


def spread(values: Sequence[float]) -> Spread:
    """Of at least one value."""
    return Spread(median(values), min(values), max(values))


def ratios(ours: Sequence[float], limits: Sequence[float]) -> Spread:
    """The spread of ours to the limit, round by round: each pair ran side by side, so what slowed one slowed both."""
    return spread([a / b for a, b in zip(ours, limits, strict=True)])


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that `percent` of all values do not exceed; 0 of none."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]
