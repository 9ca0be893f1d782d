"""The month that is counted: UTC, by the owner's clock at the verdict."""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

NANOSECONDS = 1_000_000_000
_DAY_NS = 86_400 * NANOSECONDS
_DECEMBER = 12


@dataclass(frozen=True, slots=True)
class Month:
    """A month such as `2026-04`, and the moment at which the next one begins."""

    period: str
    resets_at: datetime


def month_of(unix_ns: int) -> Month:
    """The UTC month of a moment, in nanoseconds since 1970."""
    return _month_of_day(unix_ns // _DAY_NS)


def month_named(period: str) -> Month:
    """The month of a period such as `2026-04`; a `ValueError` for anything else."""
    year, month = period.split("-")
    return _month(int(year), int(month))


def period_before(period: str) -> str:
    """The period before another."""
    year, month = (int(part) for part in period.split("-"))
    return f"{year - 1}-{_DECEMBER}" if month == 1 else f"{year}-{month - 1:02}"


@lru_cache(maxsize=64)
def _month_of_day(day: int) -> Month:
    moment = datetime.fromtimestamp(day * (_DAY_NS // NANOSECONDS), UTC)
    return _month(moment.year, moment.month)


def _month(year: int, month: int) -> Month:
    following = datetime(year + 1, 1, 1, tzinfo=UTC) if month == _DECEMBER else datetime(year, month + 1, 1, tzinfo=UTC)
    return Month(f"{year}-{month:02}", following)
