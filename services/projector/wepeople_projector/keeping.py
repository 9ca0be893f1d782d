"""How long the timeline is kept: what is measured of the months that go."""

from prometheus_client import Counter, Gauge

from wepeople_chassis.metrics import UNKNOWN
from wepeople_projections.postgres.months import Piece
from wepeople_projections.running.retention import Watcher

MONTHS = Counter("wepeople_retention_dropped_months_total", "Months of the timeline that this process has dropped.")
BYTES = Counter("wepeople_retention_dropped_bytes_total", "Bytes of the disk that those months had taken.")
OVERDUE = Gauge(
    "wepeople_retention_overdue_months",
    "Months that are older than the timeline is kept, and still there: somebody's long query holds them.",
)
OVERDUE.set(UNKNOWN)


class Months(Watcher):
    """Is told by the retention."""

    def overdue(self, months: int) -> None:
        """So many should be gone."""
        OVERDUE.set(months)

    def dropped(self, piece: Piece) -> None:
        """One went."""
        MONTHS.inc()
        BYTES.inc(piece.size_bytes)
