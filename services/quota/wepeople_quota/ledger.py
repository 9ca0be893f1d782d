"""The month of a partition's orgs: what its stream holds, plus what requests in flight hold; and the ids of the last
ten minutes.

Only the fold turns a reservation into usage. Everything here is memory and arithmetic: the stream and the database are
elsewhere. Moments are nanoseconds since 1970, by the owner's clock for reservations and by the stream's for messages;
the two must agree to within the reservations' time less the gateways' publish deadline (20 s by default).
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from wepeople_contracts.envelope import EnvelopeHead
from wepeople_quota.count import Count, Position, digest
from wepeople_quota.month import NANOSECONDS
from wepeople_quota.reservations import Reservations


@dataclass(frozen=True, slots=True)
class Held:
    """What a request holds of which month; the month is an older one when it shares a reservation made in that.

    `known` are the named events that cost it nothing, because that month has charged them or another request will.
    """

    units: int
    period: str
    known: frozenset[str] = frozenset()


class Ledger:
    """Usage by org and month, reservations by message id, and where each recent message id is in the stream.

    `stream` is whose the partition is now: a split changes it, and nothing else here. `recalls_ids` is false once what
    was saved is restored, until the fold has learned the recent ids again.
    """

    def __init__(self, *, reservation_seconds: float, remember_seconds: float) -> None:
        self.stream = ""
        self.recalls_ids = True
        self._remember_ns = int(remember_seconds * NANOSECONDS)
        self._reservations = Reservations(int(reservation_seconds * NANOSECONDS))
        self._sequences: dict[str, int] = {}
        self._recent: deque[tuple[int, str, int]] = deque()
        self.count = Count()

    # --- requests -----------------------------------------------------------------------------------------------------

    def seen(self, message_id: str) -> int | None:
        """The sequence under which the stream holds a message id, if it was stored within the duplicate window."""
        return self._sequences.get(message_id)

    def reserve(
        self,
        *,
        org_id: str,
        message_id: str,
        units: int,
        event_ids: Sequence[str] = (),
        period: str,
        month_limit: int | None,
        now_ns: int,
    ) -> Held:
        """Hold as many of `units` and of the named events not known yet as the month has room for; None is no limit.

        The same id never reserves twice: a second request with it shares the reservation, raised to the larger of
        both if there is room, and gives it its whole time again.
        """
        if units == 0 and not event_ids:
            return Held(0, period)
        shared = self._reservations.get(message_id)
        if shared is not None:
            org_id, period = shared.org_id, shared.period
        known, new = self._sort(event_ids, org_id, period, message_id)
        granted = units + len(new)
        if month_limit is not None:
            room = month_limit - self.count.total(org_id, period) - self._reservations.units(org_id, period)
            granted = min(granted, max(room, 0) + (shared.units if shared else 0))
        if granted or shared:
            # Rows are accepted in order, and quota does not see where those without a name stand: when not all fit,
            # only so many named ones will surely be charged as are left if all the others come first.
            surely = new[: max(granted - units, 0)]
            self._reservations.hold(message_id, org_id, period, units=granted, digests=surely, now_ns=now_ns)
        return Held(granted, period, known)

    def _sort(
        self, event_ids: Sequence[str], org_id: str, period: str, message_id: str
    ) -> tuple[frozenset[str], list[bytes]]:
        """The ids that cost nothing, and the digests of the others, in order and each once."""
        charged, holders = self.count.charged(org_id, period), self._reservations.holders(org_id, period)
        known: set[str] = set()
        new: dict[bytes, None] = {}
        for event_id in event_ids:
            one = digest(event_id)
            if one in charged or holders.get(one, message_id) != message_id:
                known.add(event_id)
            else:
                new[one] = None
        return frozenset(known), list(new)

    def release(self, org_id: str, message_id: str) -> None:
        """Give back what a request held; a reservation that others share stays until all of them gave it back."""
        self._reservations.release(org_id, message_id)

    def usage(self, org_id: str, period: str) -> tuple[int, int]:
        """Units used and units reserved."""
        return self.count.total(org_id, period), self._reservations.units(org_id, period)

    @property
    def reservations(self) -> int:
        """How many message ids hold something."""
        return len(self._reservations)

    @property
    def has_reservations(self) -> bool:
        """Whether any request is in flight."""
        return bool(self._reservations)

    # --- the stream ---------------------------------------------------------------------------------------------------

    @property
    def position(self) -> Position:
        """How far the stream is counted."""
        return self.count.position

    def fold(self, position: Position, head: EnvelopeHead) -> None:
        """Count a stored envelope: its charge becomes usage, and what was reserved for it is free again."""
        self._reservations.drop(head.message_id)
        self.count.fold(position, head)
        self.remember(head.message_id, position.sequence, position.stored_at_ns)

    def pass_over(self, position: Position) -> None:
        """Go past messages that cost nobody anything."""
        self.count.position = position

    def pass_idle(self, sequence: int, stored_at_ns: int) -> None:
        """Go to where the stream has nothing more of this partition, if that is further on."""
        if sequence > self.position.sequence:
            self.count.position = Position(sequence, "", max(stored_at_ns, self.position.stored_at_ns))

    def remember(self, message_id: str, sequence: int, stored_at_ns: int) -> None:
        """Know the id of a message for as long as the stream refuses its duplicates."""
        self._sequences[message_id] = sequence
        self._recent.append((stored_at_ns, message_id, sequence))

    def advance(self, proved_ns: int) -> None:
        """Let time pass: everything stored before `proved_ns` has been folded.

        Reservations whose time ended by then are dropped: their messages would be here. So nothing expires while the
        stream cannot be read. Ids older than the duplicate window are forgotten.
        """
        self._reservations.drop_expired(proved_ns)
        while self._recent and self._recent[0][0] <= proved_ns - self._remember_ns:
            _, message_id, sequence = self._recent.popleft()
            if self._sequences.get(message_id) == sequence:
                del self._sequences[message_id]
