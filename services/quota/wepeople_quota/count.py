"""A fold of one partition: usage by org, month and app, and which named events each month has charged."""

from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Set
from dataclasses import dataclass, field
from hashlib import blake2b

from wepeople_contracts.envelope import EnvelopeHead
from wepeople_quota.month import month_of, period_before

DIGEST_BYTES = 12

OrgPeriod = tuple[str, str]
Account = tuple[str, str, str]
"""Org, period and the app's connection."""


def digest(event_id: str) -> bytes:
    """Stands for an event id, in less memory; 96 bits, so that nobody finds two ids with one digest."""
    return blake2b(event_id.encode(), digest_size=DIGEST_BYTES).digest()


@dataclass(frozen=True, slots=True)
class Position:
    """How far a partition is counted; the id is that of its own message at the sequence, empty where there is none."""

    sequence: int
    message_id: str
    stored_at_ns: int


BEGINNING = Position(0, "", 0)


def oldest_period(position: Position) -> str:
    """The oldest month that a message after a position can charge: an envelope is stored seconds after its verdict, so
    the month before the position's own leaves room for clocks that disagree.
    """
    return period_before(month_of(position.stored_at_ns).period)


@dataclass(frozen=True, slots=True)
class ChargedIds:
    """Digests, one after the other, of the named events that one or more messages charged, the last at `sequence`."""

    sequence: int
    org_id: str
    period: str
    digests: bytes


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The fold up to a position, as far as it is not known to be saved: totals in units, and ids newly charged.

    Everything up to the sequence `after` is known to be saved.
    """

    position: Position
    after: int = 0
    units: dict[Account, int] = field(default_factory=dict)
    charged: list[ChargedIds] = field(default_factory=list)


class Count:
    """Usage, and the ids that can still be charged again. `identity` is that of the stream in which it was counted;
    None before anything was.
    """

    def __init__(self) -> None:
        self.identity: str | None = None
        self.position = BEGINNING
        self.saved_sequence = 0
        self._units: defaultdict[OrgPeriod, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
        self._totals: defaultdict[OrgPeriod, int] = defaultdict(int)
        self._charged: defaultdict[OrgPeriod, set[bytes]] = defaultdict(set)
        # What may not be saved yet: where each account changed last, and the ids in the order of the stream.
        self._changed: dict[Account, int] = {}
        self._unsaved: deque[ChargedIds] = deque()

    @property
    def unsaved(self) -> int:
        """Sequences counted since the last save."""
        return self.position.sequence - self.saved_sequence

    def total(self, org_id: str, period: str) -> int:
        """Units that an org has used of a month."""
        return self._totals.get((org_id, period), 0)

    def by_connection(self, org_id: str, period: str) -> dict[str, int]:
        """The same units by the connection of the app that used them."""
        return dict(self._units.get((org_id, period), {}))

    def charged(self, org_id: str, period: str) -> Set[bytes]:
        """Digests of the named events that a month has charged."""
        return self._charged.get((org_id, period), frozenset())

    def fold(self, position: Position, head: EnvelopeHead) -> None:
        """Charge a stored envelope: its units, less one for each named event that the month has charged already."""
        org_id, period = head.org_id, head.charge.period
        repeated = self._charge_ids(position, org_id, period, head.charge.event_ids) if head.charge.event_ids else 0
        if units := max(head.charge.units - repeated, 0):
            self._units[org_id, period][head.connection] += units
            self._totals[org_id, period] += units
            self._changed[org_id, period, head.connection] = position.sequence
        self.position = position

    def _charge_ids(self, position: Position, org_id: str, period: str, event_ids: Collection[str]) -> int:
        charged = self._charged[org_id, period]
        new = {one: None for one in map(digest, event_ids) if one not in charged}
        charged.update(new)
        if new:
            self._unsaved.append(ChargedIds(position.sequence, org_id, period, b"".join(new)))
        return len(event_ids) - len(new)

    # --- what outlives the process ------------------------------------------------------------------------------------

    def restore(
        self, identity: str, position: Position, units: dict[Account, int], charged: Iterable[ChargedIds]
    ) -> None:
        """Begin from what was saved of the months since `oldest_period`."""
        self.identity = identity
        self.position = position
        self.saved_sequence = position.sequence
        for (org_id, period, connection), used in units.items():
            self._units[org_id, period][connection] = used
            self._totals[org_id, period] += used
        for block in charged:
            ids, size = block.digests, DIGEST_BYTES
            self._charged[block.org_id, block.period].update(ids[at : at + size] for at in range(0, len(ids), size))

    def snapshot(self) -> Snapshot:
        """The fold as it is now, for saving."""
        units = {account: self._units[account[:2]][account[2]] for account in self._changed}
        return Snapshot(self.position, self.saved_sequence, units, list(self._unsaved))

    def saved(self, position: Position) -> None:
        """Take note that the fold is safe up to a position, and drop the months that can no longer change."""
        self.saved_sequence = position.sequence
        while self._unsaved and self._unsaved[0].sequence <= position.sequence:
            self._unsaved.popleft()
        self._changed = {a: sequence for a, sequence in self._changed.items() if sequence > position.sequence}
        oldest = oldest_period(position)
        unsaved = {account[:2] for account in self._changed}
        for account in [a for a in self._totals if a[1] < oldest and a not in unsaved]:
            del self._totals[account]
            del self._units[account]
        for account in [a for a in self._charged if a[1] < oldest]:
            del self._charged[account]
