"""The months that a table is kept by: which there are, which rows are of one, and which of them are too old."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wepeople_projections import Instant, Row, Sum, add, delete, insert, table, upsert
from wepeople_projections.batch.changes import Changes
from wepeople_projections.batch.months import leave_out, monthly, months_of
from wepeople_projections.batch.tables import MemoryTables
from wepeople_projections.definition.month import first_kept, month_called, month_of
from wepeople_projections.definition.operations import Operation
from wepeople_projections.definition.table import spec_of

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAYS = st.one_of(st.dates(), st.dates(date(2019, 12, 1), date(2020, 2, 1)), st.dates(date(2099, 11, 1)))


@table(key=("at", "name"), by_month="at")
class Moment(Row, frozen=True):
    at: Instant
    name: str
    total: Sum[int] = 0


@table(key=("at",), by_month="at")
class Zoned(Row, frozen=True):
    at: datetime


@table(key=("day",), by_month="day")
class Daily(Row, frozen=True):
    day: date


def us(day: date, hour: int = 0) -> int:
    return (datetime(day.year, day.month, day.day, hour, tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)


def changes_of(*operations: Operation) -> Changes:
    changes = Changes([spec_of(Moment), spec_of(Zoned), spec_of(Daily)])
    changes.apply("org", operations)
    return changes


@given(DAYS, DAYS)
def test_every_day_is_in_one_month_and_no_two_months_overlap(one: date, other: date) -> None:
    for day in (one, other):
        month = month_of(day)
        assert (month.begin or day) <= day < (month.end or date.max) or day == date.max
        assert month_called(month.name) == month
    first, second = sorted((one, other))
    if month_of(first) != month_of(second):
        end, begin = month_of(first).end, month_of(second).begin
        assert end is not None
        assert begin is not None
        assert end <= begin


@given(DAYS)
def test_from_2020_to_2099_a_month_is_one_of_the_calendar(day: date) -> None:
    month = month_of(day)
    if 2020 <= day.year <= 2099:
        assert month.name == day.isoformat()[:7]
        assert (month.begin, month_of(month.end or day).begin) == (day.replace(day=1), month.end)
    else:
        assert month.name == ("early" if day.year < 2020 else "late")


@pytest.mark.parametrize("name", ["2026-13", "2019-12", "2100-01", "2026", "", "2026-1", "2026-01-01", "later"])
def test_what_is_no_month_has_no_name_of_one(name: str) -> None:
    assert month_called(name) is None


@given(st.dates(date(2020, 1, 1), date(2098, 1, 1)), st.integers(1, 36_500), DAYS)
def test_a_month_goes_when_all_of_it_is_older_than_it_is_kept_and_not_a_day_sooner(
    today: date, keep_days: int, day: date
) -> None:
    first = first_kept(today, keep_days)
    month = month_of(day)
    goes = first is not None and month.is_before(first)
    if today - day <= timedelta(days=keep_days):
        assert not goes
    if month.end is not None and today - month.end >= timedelta(days=keep_days):
        assert goes or today - timedelta(days=keep_days) < date(2020, 1, 1)


@given(st.dates(date(2020, 1, 1), date(2098, 1, 1)), st.integers(0, 400), st.integers(1, 4_000))
def test_what_went_does_not_come_back_as_time_goes_on(today: date, later: int, keep_days: int) -> None:
    before, after = first_kept(today, keep_days), first_kept(today + timedelta(days=later), keep_days)
    assert (before or date.min) <= (after or date.min)


def test_how_long_is_kept_may_reach_back_to_before_there_were_dates() -> None:
    assert first_kept(date(99, 1, 1), 36_500) is None


@given(st.lists(DAYS, max_size=8))
def test_a_batch_has_the_months_of_its_rows_whatever_kind_of_time_they_have(days: list[date]) -> None:
    days = list(dict.fromkeys(days))
    rows: Sequence[Row] = [
        *(Moment("org", us(day, 23), "a", 1) for day in days),
        *(Zoned("org", datetime(day.year, day.month, day.day, 23, tzinfo=UTC)) for day in days),
        *(Daily("org", day) for day in days),
    ]
    found = months_of(changes_of(*map(insert, rows)))
    assert {spec.name: months for spec, months in found.items()} == (
        {name: {month_of(day) for day in days} for name in ("moment", "zoned", "daily")} if days else {}
    )


def test_a_time_in_another_zone_is_of_the_month_that_it_is_in_utc() -> None:
    tokyo = datetime.fromisoformat("2026-05-01T08:59:59+09:00")
    [months] = months_of(changes_of(insert(Zoned("org", tokyo)))).values()
    assert {month.name for month in months} == {"2026-04"}


@pytest.mark.parametrize("wrong", [None, "2026-04-01", 2**70, -(2**70), 1.5])
def test_what_is_no_time_is_of_no_month_and_left_for_whoever_writes_it_to_refuse(wrong: Any) -> None:
    right = Moment("org", us(date(2026, 4, 1)), "b")
    changes = changes_of(insert(Moment("org", wrong, "a")), insert(right))
    [months] = months_of(changes).values()
    assert {month.name for month in months} == {"2026-04"}
    [layer] = monthly(changes)
    left = leave_out(layer, date(2026, 5, 1))
    assert right in left
    assert [row.at for row in (*left, *layer.inserted.values()) if row != right] == [wrong]  # type: ignore[attr-defined]


OPERATIONS = st.lists(
    st.builds(
        lambda make, day, name, n: (
            delete(Moment, "org", us(day), name) if make is delete else make(Moment("org", us(day), name, n))
        ),
        st.sampled_from([upsert, add, delete]),
        st.sampled_from([date(2026, month, day) for month in (3, 4, 5) for day in (1, 30)]),
        st.sampled_from("ab"),
        st.integers(0, 3),
    ),
    max_size=12,
)


def moments(tables: MemoryTables) -> list[Moment]:
    return [row for row in tables.rows(spec_of(Moment)) if isinstance(row, Moment)]


@given(st.lists(OPERATIONS, min_size=1, max_size=4), st.data(), st.sampled_from([date(2026, 4, 1), date(2026, 5, 1)]))
def test_a_table_whose_old_months_went_is_the_rest_of_what_it_would_be_with_them_whenever_they_went(
    batches: list[list[Operation]], data: st.DataObject, first: date
) -> None:
    whole, trimmed = MemoryTables(), MemoryTables()
    dropped_before = data.draw(st.integers(0, len(batches) - 1))
    for number, batch in enumerate(batches):
        if number == dropped_before:
            old = [row for row in moments(trimmed) if row.at < us(first)]
            trimmed.write(changes_of(*(delete(Moment, "org", row.at, row.name) for row in old)))
        whole.write(changes_of(*batch))
        changes = changes_of(*batch)
        if number >= dropped_before:
            for layer in monthly(changes):
                leave_out(layer, first)
        trimmed.write(changes)
    assert moments(trimmed) == [row for row in moments(whole) if row.at >= us(first)]


def test_what_would_have_been_inserted_into_a_dropped_month_is_told_for_the_encoder_to_look_at() -> None:
    old, new = Moment("org", us(date(2026, 3, 31), 23), "a"), Moment("org", us(date(2026, 4, 1)), "a")
    changes = changes_of(insert(old), insert(new))
    [layer] = monthly(changes)
    assert leave_out(layer, date(2026, 4, 1)) == [old]
    assert list(layer.inserted.values()) == [new]
