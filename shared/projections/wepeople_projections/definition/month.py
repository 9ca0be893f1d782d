"""The months that a table is kept by, UTC: what each is called, where it ends, and which of them are too old.

From 2020 to 2099 a month is one; what is before is one piece, and what is after another. So senders of wrong times can
make a thousand pieces at most, and not one for each month since the year 1.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

from wepeople_projections.definition.columns import Column, Kind

FIRST_YEAR, LAST_YEAR = 2020, 2099
EARLY, LATE = "early", "late"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY = _EPOCH.toordinal()
_DAY = timedelta(days=1)
_DAY_US = _DAY // timedelta(microseconds=1)


class Month(NamedTuple):
    """A piece of a table: from its first day on, before the day that it ends with; None where that is open."""

    begin: date | None
    end: date | None

    @property
    def name(self) -> str:
        """2026-04; early and late are those without a beginning and an end."""
        if self.begin is None:
            return EARLY
        return LATE if self.end is None else f"{self.begin:%Y-%m}"

    def is_before(self, day: date) -> bool:
        """Whether all of it is before the day."""
        return self.end is not None and self.end <= day


def month_of(day: date) -> Month:
    """The one that a day is in."""
    if day.year < FIRST_YEAR:
        return Month(None, date(FIRST_YEAR, 1, 1))
    if day.year > LAST_YEAR:
        return Month(date(LAST_YEAR + 1, 1, 1), None)
    begin = day.replace(day=1)
    return Month(begin, (begin + timedelta(days=31)).replace(day=1))


def month_called(name: str) -> Month | None:
    """The one of that name; None where there is none."""
    if name in (EARLY, LATE):
        return month_of(date.min if name == EARLY else date.max)
    try:
        month = month_of(date.fromisoformat(f"{name}-01"))
    except ValueError:
        return None
    return month if month.name == name else None


def first_kept(today: date, keep_days: int) -> date | None:
    """The first day of the oldest month that is not older than that as a whole; None while that is in the early ones,
    of which nothing can go by itself.
    """
    oldest = today - min(_DAY * keep_days, today - date.min)
    return None if oldest.year < FIRST_YEAR else oldest.replace(day=1)


def day_taker(column: Column) -> Callable[[Any], int]:
    """What tells the day of a column's value, as its number in Python's calendar. It raises what it likes for what is
    no value of the column, and the number of one beyond all years is no day.
    """
    return _DAY_OF[column.kind]


_DAY_OF: Mapping[Kind, Callable[[Any], int]] = {
    Kind.DATE: date.toordinal,
    Kind.DATETIME: lambda at: (at - _EPOCH) // _DAY + _EPOCH_DAY,
    Kind.INSTANT: lambda us: us // _DAY_US + _EPOCH_DAY,
}
