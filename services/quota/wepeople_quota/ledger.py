"""The month: a fold of the stream, plus what requests in flight hold; and the ids of the last ten minutes.

Only the fold turns a reservation into usage. Everything here is memory and arithmetic: the stream and the database are
elsewhere. Moments are nanoseconds since 1970, by the owner's clock for reservations and by the stream's for messages;
the two must agree to within the lease less the gateways' publish deadline (20 s by default).
"""

from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import takewhile

from wepeople_contracts.envelope import EnvelopeHead
from wepeople_quota.month import NANOSECONDS, month_of, period_before

OrgPeriod = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Position:
    """The last message of the stream that is counted; the id is empty where no message stands at the sequence."""

    sequence: int
    message_id: str
    stored_at_ns: int


BEGINNING = Position(0, "", 0)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The fold up to a position: totals, in units, of each org and period that changed since the last saved one."""

    position: Position
    changed: dict[OrgPeriod, int]


@dataclass(frozen=True, slots=True)
class Held:
    """What a request holds of which month; the month is an older one when it shares a reservation made in that."""

    units: int
    period: str


@dataclass(slots=True)
class _Reservation:
    org_id: str
    period: str
    units: int
    holders: int
    expires_at_ns: int


class Ledger:
    """Usage by org and month, reservations by message id, and where each recent message id is in the stream."""

    def __init__(self, *, lease_seconds: float, remember_seconds: float) -> None:
        self._lease_ns = int(lease_seconds * NANOSECONDS)
        self._remember_ns = int(remember_seconds * NANOSECONDS)
        self._position = BEGINNING
        self._used: defaultdict[OrgPeriod, int] = defaultdict(int)
        self._unsaved: set[OrgPeriod] = set()
        self._reserved: defaultdict[OrgPeriod, int] = defaultdict(int)
        # In the order in which they expire, as all have the same lease.
        self._reservations: dict[str, _Reservation] = {}
        self._sequences: dict[str, int] = {}
        self._recent: deque[tuple[int, str, int]] = deque()

    # --- requests -----------------------------------------------------------------------------------------------------

    def seen(self, message_id: str) -> int | None:
        """The sequence under which the stream holds a message id, if it was stored within the duplicate window."""
        return self._sequences.get(message_id)

    def reserve(
        self, *, org_id: str, message_id: str, units: int, period: str, month_limit: int | None, now_ns: int
    ) -> Held:
        """Hold as many of `units` as the month has room for; None is no limit.

        The same id never reserves twice: a second request with it shares the reservation, raised to the larger of
        both if there is room, and gives it a whole lease again.
        """
        if units == 0:
            return Held(0, period)
        shared = self._reservations.pop(message_id, None)
        if shared is None:
            granted = self._fitting(units, (org_id, period), month_limit, already=0)
            if granted:
                self._reserved[org_id, period] += granted
                expires_at_ns = now_ns + self._lease_ns
                self._reservations[message_id] = _Reservation(org_id, period, granted, 1, expires_at_ns)
            return Held(granted, period)
        granted = self._fitting(units, (shared.org_id, shared.period), month_limit, already=shared.units)
        self._reserved[shared.org_id, shared.period] += max(granted - shared.units, 0)
        shared.units = max(granted, shared.units)
        shared.holders += 1
        shared.expires_at_ns = now_ns + self._lease_ns
        self._reservations[message_id] = shared
        return Held(granted, shared.period)

    def release(self, org_id: str, message_id: str) -> None:
        """Give back what a request held; a reservation that others share stays until all of them gave it back."""
        reservation = self._reservations.get(message_id)
        if reservation is None or reservation.org_id != org_id:
            return
        reservation.holders -= 1
        if reservation.holders == 0:
            self._drop(message_id)

    def usage(self, org_id: str, period: str) -> tuple[int, int]:
        """Units used and units reserved."""
        return self._used.get((org_id, period), 0), self._reserved.get((org_id, period), 0)

    # --- the stream ---------------------------------------------------------------------------------------------------

    @property
    def position(self) -> Position:
        """How far the stream is counted."""
        return self._position

    def fold(self, position: Position, head: EnvelopeHead) -> None:
        """Count a stored envelope: its charge becomes usage, and what was reserved for it is free again."""
        self._drop(head.message_id)
        if head.charge.units:
            account = (head.org_id, head.charge.period)
            self._used[account] += head.charge.units
            self._unsaved.add(account)
        self.remember(head.message_id, position.sequence, position.stored_at_ns)
        self._position = position

    def pass_over(self, position: Position) -> None:
        """Go past messages that cost nobody anything."""
        self._position = position

    def remember(self, message_id: str, sequence: int, stored_at_ns: int) -> None:
        """Know the id of a message for as long as the stream refuses its duplicates."""
        self._sequences[message_id] = sequence
        self._recent.append((stored_at_ns, message_id, sequence))

    def advance(self, proved_ns: int) -> None:
        """Let time pass: everything stored before `proved_ns` has been folded.

        Reservations whose lease ended by then are dropped: their messages would be here. So nothing expires while the
        stream cannot be read. Ids older than the duplicate window are forgotten.
        """
        reservations = self._reservations
        for message_id in list(takewhile(lambda m: reservations[m].expires_at_ns <= proved_ns, reservations)):
            self._drop(message_id)
        while self._recent and self._recent[0][0] <= proved_ns - self._remember_ns:
            _, message_id, sequence = self._recent.popleft()
            if self._sequences.get(message_id) == sequence:
                del self._sequences[message_id]

    # --- what outlives the process ------------------------------------------------------------------------------------

    def restore(self, position: Position, used: Iterable[tuple[str, str, int]]) -> None:
        """Begin from what was saved: rows of org, period and units, at least those that `oldest_period` asks for."""
        self._position = position
        self._used.update({(org_id, period): units for org_id, period, units in used})

    def snapshot(self) -> Snapshot:
        """The fold as it is now, for saving."""
        return Snapshot(self._position, {account: self._used[account] for account in self._unsaved})

    def saved(self, snapshot: Snapshot) -> None:
        """Take note that a snapshot is safe, and drop the months that can no longer change."""
        self._unsaved -= {account for account, units in snapshot.changed.items() if self._used[account] == units}
        oldest = oldest_period(snapshot.position)
        for account in [a for a in self._used if a[1] < oldest and a not in self._unsaved]:
            del self._used[account]
        for account in [a for a, units in self._reserved.items() if units == 0]:
            del self._reserved[account]

    # ------------------------------------------------------------------------------------------------------------------

    def _fitting(self, units: int, account: OrgPeriod, month_limit: int | None, *, already: int) -> int:
        if month_limit is None:
            return units
        room = month_limit - self._used.get(account, 0) - self._reserved.get(account, 0)
        return min(units, already + max(room, 0))

    def _drop(self, message_id: str) -> None:
        if reservation := self._reservations.pop(message_id, None):
            self._reserved[reservation.org_id, reservation.period] -= reservation.units


def oldest_period(position: Position) -> str:
    """The oldest month that a message after a position can charge: an envelope is stored seconds after its verdict, so
    the month before the position's own leaves room for clocks that disagree.
    """
    return period_before(month_of(position.stored_at_ns).period)
