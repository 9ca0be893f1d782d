"""What the bench finds: ratios to a bare limit, and figures by themselves, some with a floor. Pure."""

from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from bench.statistic import Spread, ratios, spread

Verdict = Literal["met", "missed"]
Tell = Callable[[str], None]
"""Says in a few words what is being measured now."""


class Bound(Struct, frozen=True):
    """What a figure must not be worse than, and where it should go."""

    limit: float | None
    aim: float | None = None
    at_least: bool = True

    def verdict(self, value: float) -> Verdict | None:
        """Whether the floor is met; None where there is only an aim."""
        if self.limit is None:
            return None
        return "met" if (value >= self.limit if self.at_least else value <= self.limit) else "missed"

    def words(self) -> str:
        """For people: `≥ 0.15 (aim 0.3)`."""
        sign = "≥" if self.at_least else "≤"
        if self.limit is None:
            return f"aim {sign} {self.aim:,g}"
        return f"{sign} {self.limit:,g}" + (f" (aim {self.aim:,g})" if self.aim is not None else "")


class Comparison(Struct, frozen=True, kw_only=True):
    """Ours and the bare limit, both in `unit` (more is better), and the ratio of the two, round by round."""

    subject: str
    name: str
    unit: str
    ours: Spread
    limit: Spread
    ratio: Spread
    bound: Bound | None = None


class Figure(Struct, frozen=True, kw_only=True):
    """A number by itself."""

    subject: str
    name: str
    unit: str
    value: Spread
    bound: Bound | None = None


class Profile(Struct, frozen=True, kw_only=True):
    """Where a process spends its processor time: shares of the whole by what is done, and by function."""

    process: str
    by_work: list[tuple[str, float]]
    by_function: list[tuple[str, float]]


Finding = Comparison | Figure | Profile


def comparison(
    subject: str, name: str, unit: str, *, ours: list[float], limit: list[float], bound: Bound | None = None
) -> Comparison:
    """From the rounds of both sides."""
    return Comparison(
        subject=subject,
        name=name,
        unit=unit,
        ours=spread(ours),
        limit=spread(limit),
        ratio=ratios(ours, limit),
        bound=bound,
    )


def figure(subject: str, name: str, unit: str, values: list[float], bound: Bound | None = None) -> Figure:
    """From the rounds."""
    return Figure(subject=subject, name=name, unit=unit, value=spread(values), bound=bound)


def missed(findings: list[Finding]) -> list[str]:
    """The floors that were missed, in words."""
    found = []
    for finding in findings:
        if isinstance(finding, Profile) or finding.bound is None:
            continue
        value = finding.ratio.middle if isinstance(finding, Comparison) else finding.value.middle
        if finding.bound.verdict(value) == "missed":
            found.append(f"{finding.subject}, {finding.name}: {value:.3g}, but the floor is {finding.bound.words()}")
    return found
