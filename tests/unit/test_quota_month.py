"""Months: UTC, and when each ends."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wepeople_quota.month import month_named, month_of, period_before


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 10**9)


@pytest.mark.parametrize(
    ("moment", "period", "resets_at"),
    [
        ("2026-04-30T23:59:59.999999+00:00", "2026-04", "2026-05-01"),
        ("2026-05-01T00:00:00+00:00", "2026-05", "2026-06-01"),
        ("2026-12-31T23:59:59+00:00", "2026-12", "2027-01-01"),
        ("2026-05-01T01:00:00+02:00", "2026-04", "2026-05-01"),
        ("2028-02-29T12:00:00+00:00", "2028-02", "2028-03-01"),
    ],
)
def test_a_moment_belongs_to_its_month_in_utc(moment: str, period: str, resets_at: str) -> None:
    month = month_of(at(moment))
    assert (month.period, month.resets_at) == (period, datetime.fromisoformat(resets_at).replace(tzinfo=UTC))


@given(st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1)))
def test_a_month_ends_where_the_next_begins(moment: datetime) -> None:
    month = month_of(int(moment.replace(tzinfo=UTC).timestamp()) * 10**9)
    following = month_of(int(month.resets_at.timestamp()) * 10**9)
    assert month_named(month.period) == month
    assert period_before(following.period) == month.period
    assert month.period < following.period
