"""Points of the stream as people write them: a sequence, or a time."""

from datetime import UTC, datetime, timedelta

from wepeople_projections.errors import ProjectionError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class PointError(ProjectionError):
    """It is neither a sequence nor a time."""


def parse_point(text: str) -> int | datetime:
    """A sequence (1 or more), or a time: `2026-04-01`, `2026-04-01T09:00Z`; in UTC unless it says otherwise.

    `PointError` for anything else.
    """
    text = text.strip()
    if text.isascii() and text.isdigit():
        if int(text) < 1:
            raise PointError("The stream's first sequence is 1.")
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise PointError(
            f"{text!r} is neither a sequence, such as 1234, nor a time, such as 2026-04-01 or 2026-04-01T09:00Z."
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def nanoseconds(moment: datetime) -> int:
    """A time as the stream knows it: nanoseconds since 1970."""
    return (moment - _EPOCH) // _MICROSECOND * 1000
