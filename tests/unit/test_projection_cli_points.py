"""Points of the stream as people write them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from wepeople_projections.definition.points import PointError, nanoseconds, parse_point


def test_a_number_is_a_sequence() -> None:
    assert parse_point(" 1234 ") == 1234


@pytest.mark.parametrize("text", ["2026-04-01", "2026-04-01T00:00", "2026-04-01T00:00Z", "2026-04-01 02:00+02:00"])
def test_a_time_is_in_utc_unless_it_says_otherwise(text: str) -> None:
    assert parse_point(text) == datetime(2026, 4, 1, tzinfo=UTC)


@pytest.mark.parametrize("text", ["0", "-5", "yesterday", "", "2026-13-01", "1.5", "\N{ARABIC-INDIC DIGIT FIVE}"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(PointError):
        parse_point(text)


def test_a_time_is_exact_to_the_microsecond() -> None:
    moment = datetime(2026, 4, 1, 2, 0, 0, 123_456, tzinfo=timezone(timedelta(hours=2)))
    assert nanoseconds(moment) == 1_775_001_600_123_456_000
