"""What a gateway knows of the process of quota that answers for one partition, and how it counts while that is away."""

from collections import deque
from datetime import UTC, datetime

from wepeople_contracts.quota import Granted, RateLimited, Reserve, Window

NO_EPOCH = 0
_AWAY_SECONDS = 1.0


class Owner:
    """Of a partition: the highest epoch that was heard, and until when it is not asked again, because it was away.

    One that is away does not stop another: partitions may have different owners, and nobody is told which.
    """

    def __init__(self) -> None:
        self.epoch = NO_EPOCH
        self._away_until = 0.0
        self._admitted: dict[str, deque[float]] = {}

    def is_away(self, now: float) -> bool:
        """Whether it was away a moment ago."""
        return now < self._away_until

    def went_away(self, now: float) -> None:
        """It did not answer as it should."""
        self._away_until = now + _AWAY_SECONDS

    def answered(self) -> None:
        """It counts again, so what was counted alone is of no use."""
        self._admitted.clear()

    def decide_alone(self, request: Reserve, now: float, gateways: int) -> Granted | RateLimited:
        """A sliding window of this gateway's share of each rate; the month is not checked."""
        for scope, subject, limit in (
            ("key", request.key_id, request.key_limit),
            ("org", request.org_id, request.org_limit),
        ):
            window = self._admitted.setdefault(subject, deque())
            while window and window[0] <= now - 1:
                window.popleft()
            if len(window) >= max(1, limit // gateways):
                full = Window(remaining=0, reset_seconds=window[0] + 1 - now)
                return RateLimited(scope=scope, retry_after_seconds=full.reset_seconds, key_window=full)
        self._admitted[request.key_id].append(now)
        self._admitted[request.org_id].append(now)
        left = max(1, request.key_limit // gateways) - len(self._admitted[request.key_id])
        today = datetime.now(UTC)
        return Granted(
            units=request.units + len(request.event_ids),
            period=f"{today:%Y-%m}",
            epoch=NO_EPOCH,
            month_resets_at=_first_of_next_month(today),
            key_window=Window(remaining=left, reset_seconds=1.0),
        )


def _first_of_next_month(now: datetime) -> datetime:
    year, month = (now.year + 1, 1) if now.month == 12 else (now.year, now.month + 1)  # noqa: PLR2004
    return datetime(year, month, 1, tzinfo=UTC)
