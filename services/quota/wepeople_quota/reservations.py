"""What requests in flight hold: units of a month, and named events that nobody else need pay for."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import takewhile

from wepeople_quota.count import OrgPeriod


@dataclass(slots=True)
class Reservation:
    """What the requests with one message id hold together; `digests` are of the named events that they will charge."""

    org_id: str
    period: str
    units: int = 0
    digests: set[bytes] = field(default_factory=set)
    holders: int = 0
    expires_at_ns: int = 0


class Reservations:
    """By message id; each is held until it is dropped, or runs out."""

    def __init__(self, duration_ns: int) -> None:
        self._duration_ns = duration_ns
        # In the order in which they expire, as all last equally long.
        self._by_message: dict[str, Reservation] = {}
        self._units: defaultdict[OrgPeriod, int] = defaultdict(int)
        self._holders: defaultdict[OrgPeriod, dict[bytes, str]] = defaultdict(dict)

    def __len__(self) -> int:
        return len(self._by_message)

    def get(self, message_id: str) -> Reservation | None:
        """What is held for a message id."""
        return self._by_message.get(message_id)

    def units(self, org_id: str, period: str) -> int:
        """Units of an org's month that are held in all."""
        return self._units.get((org_id, period), 0)

    def holders(self, org_id: str, period: str) -> Mapping[bytes, str]:
        """Which message id will charge each named event."""
        return self._holders.get((org_id, period), {})

    def hold(
        self, message_id: str, org_id: str, period: str, *, units: int, digests: Iterable[bytes], now_ns: int
    ) -> None:
        """Hold for one request more; one that it shares is raised to `units` and lasts its whole time again."""
        shared = self._by_message.pop(message_id, None) or Reservation(org_id, period)
        account = (shared.org_id, shared.period)
        self._units[account] += max(units - shared.units, 0)
        shared.units = max(units, shared.units)
        for one in digests:
            shared.digests.add(one)
            self._holders[account][one] = message_id
        shared.holders += 1
        shared.expires_at_ns = now_ns + self._duration_ns
        self._by_message[message_id] = shared

    def release(self, org_id: str, message_id: str) -> None:
        """Give back what a request held; a reservation that others share stays until all of them gave it back."""
        reservation = self._by_message.get(message_id)
        if reservation is None or reservation.org_id != org_id:
            return
        reservation.holders -= 1
        if reservation.holders == 0:
            self.drop(message_id)

    def drop(self, message_id: str) -> None:
        """Hold nothing for a message id any more, however many share it."""
        reservation = self._by_message.pop(message_id, None)
        if reservation is None:
            return
        account = (reservation.org_id, reservation.period)
        self._units[account] -= reservation.units
        if self._units[account] == 0:
            del self._units[account]
        if reservation.digests:
            holders = self._holders[account]
            for one in reservation.digests:
                del holders[one]
            if not holders:
                del self._holders[account]

    def drop_expired(self, now_ns: int) -> None:
        """Drop those that ran out."""
        held = self._by_message
        for message_id in list(takewhile(lambda m: held[m].expires_at_ns <= now_ns, held)):
            self.drop(message_id)
