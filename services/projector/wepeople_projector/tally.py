"""What the stream itself says there must be: each org's events, and its month. A fold of its own, so that it shares no
mistake with those that it proves.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from hashlib import blake2b
from typing import Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from wepeople_chassis.stream import StoredMessage
from wepeople_contracts.envelope import AcceptedRow, Charge
from wepeople_contracts.subjects import parse_ingest_subject
from wepeople_projector.hashes import Hashes

Place = tuple[int, int, int]
"""A message's partition and sequence, and a row's index; -1 for the whole message."""

MONTHS_KEPT = 2
_WHOLE = -1


class _Envelope(Struct, frozen=True):
    kind: Literal["events", "snapshot"]
    org_id: str
    received_at_us: int
    charge: Charge
    accepted: list[AcceptedRow]


class _Event(Struct, frozen=True):
    timestamp: datetime | UnsetType = UNSET


_decoder = msgspec.msgpack.Decoder(_Envelope)
_event_decoder = msgspec.json.Decoder(_Event)


@dataclass(slots=True)
class OrgTally:
    """One org's. Of the `accepted` rows of events, `repeated` are kept out by an earlier one of the same name, `aside`
    were parked or skipped, and `dropped` are older than what is kept.
    """

    accepted: int = 0
    repeated: int = 0
    aside: int = 0
    dropped: int = 0
    named: Hashes = field(default_factory=Hashes)
    months: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    charged: dict[str, Hashes] = field(default_factory=dict)

    @property
    def events(self) -> int:
        """How many events there must be."""
        return self.accepted - self.repeated - self.aside - self.dropped


class Tally:
    """Counts messages in the order of the stream. Events count up to each partition's position, but for those put
    `aside` and those that happened before the timeline is kept; charges count all along.
    """

    def __init__(self, positions: Mapping[int, int], aside: Collection[Place], kept_from: date | None = None) -> None:
        self.orgs: defaultdict[str, OrgTally] = defaultdict(OrgTally)
        self._positions = positions
        self._aside = frozenset(aside)
        self._kept_from = kept_from and datetime(kept_from.year, kept_from.month, kept_from.day, tzinfo=UTC)

    def count(self, message: StoredMessage) -> str | None:
        """Count the next message; the org that it charged. What is no envelope counts for nobody."""
        try:
            subject = parse_ingest_subject(message.subject)
            if subject.kind == "directory":
                return None
            envelope = _decoder.decode(message.data)
        except ValueError:
            return None
        org = self.orgs[envelope.org_id]
        if envelope.kind == "events" and message.sequence <= self._positions.get(subject.partition, 0):
            self._count_events(org, (subject.partition, message.sequence), envelope)
        self._charge(org, envelope.charge)
        return envelope.org_id

    def _count_events(self, org: OrgTally, at: tuple[int, int], envelope: _Envelope) -> None:
        accepted = envelope.accepted
        org.accepted += len(accepted)
        if (*at, _WHOLE) in self._aside:
            org.aside += len(accepted)
            return
        for row in accepted:
            if (*at, row.index) in self._aside:
                org.aside += 1
            elif row.named and not org.named.add(_hash(row.event_id)):
                org.repeated += 1
            elif self._kept_from is not None:
                org.dropped += happened_at(row.raw, envelope.received_at_us) < self._kept_from

    def _charge(self, org: OrgTally, charge: Charge) -> None:
        """A named event is charged once a month. Names are kept of the newest months only: of those that are over,
        nobody is asked.
        """
        charged = org.charged.setdefault(charge.period, Hashes())
        repeated = sum(not charged.add(_hash(event_id)) for event_id in charge.event_ids)
        org.months[charge.period] += max(charge.units - repeated, 0)
        if len(org.charged) > MONTHS_KEPT:
            del org.charged[min(org.charged)]


def happened_at(raw: bytes, received_at_us: int) -> datetime:
    """When an event of the stream happened: its own timestamp, else the time of receipt."""
    timestamp = _event_decoder.decode(raw).timestamp
    return datetime.fromtimestamp(received_at_us // 1_000_000, UTC) if timestamp is UNSET else timestamp


def _hash(event_id: str) -> int:
    return int.from_bytes(blake2b(event_id.encode(), digest_size=8).digest())
