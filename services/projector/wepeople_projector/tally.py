"""What the stream itself says there must be: each org's events, and its month. A fold of its own, so that it shares no
mistake with those that it proves.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Literal

import msgspec
from msgspec import Struct

from wepeople_chassis.stream import StoredMessage
from wepeople_contracts.envelope import AcceptedRow, Charge
from wepeople_contracts.subjects import parse_ingest_subject
from wepeople_projector.hashes import Hashes

Place = tuple[int, int]
"""A message's sequence and a row's index; -1 for the whole message."""

MONTHS_KEPT = 2
_WHOLE = -1


class _Envelope(Struct, frozen=True):
    kind: Literal["events", "snapshot"]
    org_id: str
    charge: Charge
    accepted: list[AcceptedRow]


_decoder = msgspec.msgpack.Decoder(_Envelope)


@dataclass(slots=True)
class OrgTally:
    """One org's. Of the `accepted` rows of events, `repeated` are kept out by an earlier one of the same name, and
    `aside` were parked or skipped.
    """

    accepted: int = 0
    repeated: int = 0
    aside: int = 0
    named: Hashes = field(default_factory=Hashes)
    months: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    charged: dict[str, Hashes] = field(default_factory=dict)

    @property
    def events(self) -> int:
        """How many events there must be."""
        return self.accepted - self.repeated - self.aside


class Tally:
    """Counts messages in the order of the stream. Events count up to each partition's position, but for those put
    `aside`; charges count all along.
    """

    def __init__(self, positions: Mapping[int, int], aside: Collection[Place]) -> None:
        self.orgs: defaultdict[str, OrgTally] = defaultdict(OrgTally)
        self._positions = positions
        self._aside = frozenset(aside)

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
            self._count_events(org, message.sequence, envelope.accepted)
        self._charge(org, envelope.charge)
        return envelope.org_id

    def _count_events(self, org: OrgTally, sequence: int, accepted: list[AcceptedRow]) -> None:
        org.accepted += len(accepted)
        if (sequence, _WHOLE) in self._aside:
            org.aside += len(accepted)
            return
        for row in accepted:
            if (sequence, row.index) in self._aside:
                org.aside += 1
            elif row.named:
                org.repeated += not org.named.add(_hash(row.event_id))

    def _charge(self, org: OrgTally, charge: Charge) -> None:
        """A named event is charged once a month. Names are kept of the newest months only: of those that are over,
        nobody is asked.
        """
        charged = org.charged.setdefault(charge.period, Hashes())
        repeated = sum(not charged.add(_hash(event_id)) for event_id in charge.event_ids)
        org.months[charge.period] += max(charge.units - repeated, 0)
        if len(org.charged) > MONTHS_KEPT:
            del org.charged[min(org.charged)]


def _hash(event_id: str) -> int:
    return int.from_bytes(blake2b(event_id.encode(), digest_size=8).digest())
