"""Instants as microseconds since 1970 UTC, decided from a row and its receipt, never by a clock."""

from datetime import UTC, datetime, timedelta

from msgspec import UNSET, UnsetType

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def occurred_at_us(timestamp: datetime | UnsetType, received_at_us: int) -> int:
    """An event's own timestamp; its time of receipt when it has none."""
    return received_at_us if timestamp is UNSET else (timestamp - EPOCH) // MICROSECOND


def observed_at_us(timestamp: datetime | UnsetType, received_at_us: int) -> int:
    """A snapshot's timestamp, but never later than its receipt, so that a fast clock blocks nothing."""
    return min(occurred_at_us(timestamp, received_at_us), received_at_us)


def as_datetime(us: int) -> datetime:
    """The same as a datetime in UTC."""
    return EPOCH + timedelta(microseconds=us)
