"""Rows of the rejects, and how long each is kept: by the stream's own time, so that every rebuild agrees."""

from dataclasses import dataclass, field
from datetime import timedelta

from msgspec import Struct

from wepeople_contracts.envelope import Envelope, RejectedRow

KEPT_US = timedelta(days=14) // timedelta(microseconds=1)


class Reject(Struct, frozen=True, gc=False):
    """One rejected row; `raw` is what was sent, `kept_until_us` microseconds since 1970."""

    envelope: Envelope
    sequence: int
    kept_until_us: int
    row: RejectedRow
    raw: str


@dataclass(slots=True)
class RejectRows:
    """The rejects that a batch adds; what is older goes once `now_us`, the newest of its messages, is past its time.

    A row goes when a *later* message of the partition is past its time. That decides the same for any batching, even
    where the server's clock once went back.
    """

    rows: list[Reject] = field(default_factory=list)
    now_us: int = 0
    _first_to_go_us: int = 0

    def pass_time(self, stored_at_us: int) -> None:
        """The partition's next message was stored at this time."""
        self.now_us = max(self.now_us, stored_at_us)
        if self.rows and self._first_to_go_us <= stored_at_us:
            self.rows = [reject for reject in self.rows if reject.kept_until_us > stored_at_us]
            self._first_to_go_us = min((reject.kept_until_us for reject in self.rows), default=0)

    def add(self, envelope: Envelope, sequence: int, stored_at_us: int, row: RejectedRow) -> bool:
        """Add a rejected row of the message stored then; False when it is not text, so that no column can hold it."""
        try:
            raw = row.raw.decode()
        except UnicodeDecodeError:
            return False
        if "\0" in raw:
            return False
        kept_until_us = stored_at_us + KEPT_US
        self._first_to_go_us = min(self._first_to_go_us, kept_until_us) if self.rows else kept_until_us
        self.rows.append(Reject(envelope, sequence, kept_until_us, row, raw))
        return True
