"""How long the timeline is kept: counts the months that go."""

from wepeople_projections.postgres.months import Piece
from wepeople_projections.running.retention import Watcher
from wepeople_projector import metrics


class Months(Watcher):
    """Is told by the retention."""

    def overdue(self, months: int) -> None:
        """So many should be gone."""
        metrics.OVERDUE_MONTHS.set(months)

    def dropped(self, piece: Piece) -> None:
        """One went."""
        metrics.DROPPED_MONTHS.inc()
        metrics.DROPPED_BYTES.inc(piece.size_bytes)
