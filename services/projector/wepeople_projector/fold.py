"""Folds decoded messages, in stream order, into what one transaction writes. No I/O.

In three steps, because a whole batch is looked up at once: `Fold(…)`, then `unknown` and `begin`, then `apply` for
each message.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import cast

from msgspec import UNSET

from wepeople_chassis.stream import StoredMessage
from wepeople_contracts.directory import OrgFounded, WorkersImported
from wepeople_contracts.envelope import AcceptedRow
from wepeople_contracts.rows import EventRow, SnapshotRow
from wepeople_projector.decode import Decoded, Fact, Parked, Request, SeenRow, park, park_row
from wepeople_projector.identity import (
    Claim,
    Identifier,
    IdentityState,
    Resolution,
    claim_of,
    evolve,
    needs,
    resolve,
)
from wepeople_projector.memory import Memory, Sighting
from wepeople_projector.projections.rejects.rows import RejectRows
from wepeople_projector.projections.requests.rows import RequestRow, request_row
from wepeople_projector.projections.snapshots.rows import LatestSnapshot, SnapshotKey, keep_newest, latest_snapshot
from wepeople_projector.projections.timeline.rows import TimelineBlock, timeline_block
from wepeople_projector.projections.workers.rows import WorkerRows


@dataclass(slots=True)
class Changeset:
    """What one transaction writes."""

    orgs: list[OrgFounded] = field(default_factory=list)
    workers: WorkerRows = field(default_factory=WorkerRows)
    timeline: list[TimelineBlock] = field(default_factory=list)
    snapshots: dict[SnapshotKey, LatestSnapshot] = field(default_factory=dict)
    requests: list[RequestRow] = field(default_factory=list)
    rejects: RejectRows = field(default_factory=RejectRows)
    parked: list[Parked] = field(default_factory=list)


class Fold:
    """The fold of one batch: `messages` are applied one after the other, their effects gather in `changes`."""

    def __init__(self, memory: Memory, decoded: Iterable[Decoded]) -> None:
        memory.begin_batch()
        self.changes = Changeset()
        self._memory = memory
        self.messages = [self._admit(message) for message in decoded]
        self._claims: dict[Sighting, Claim | None] = memory.claims(
            seen.sighting for message in self.messages if isinstance(message, Request) for seen in message.rows
        )
        self._bindings: dict[Identifier, str | None] = {}
        self._taken: set[str] = set()
        self._state: IdentityState | None = None

    def unknown(self) -> tuple[set[Identifier], set[str]]:
        """The identifiers, and the ids of named events, that the database must be asked about; batches in flight know
        of the others.
        """
        claims = [claim for claim in self._claims.values() if claim is not None]
        for message in self.messages:
            if isinstance(message, Fact) and isinstance(message.fact, WorkersImported):
                claims += [claim for claim, _ in _imported(message.fact)]
        needed = {identifier for claim in claims for identifier in needs(claim, self._memory.salts)}
        requests = (message for message in self.messages if isinstance(message, Request))
        named = {seen.name for request in requests for seen in request.rows if seen.name is not None}
        self._bindings = self._memory.known(needed)
        self._taken = self._memory.taken(named)
        return needed - self._bindings.keys(), named - self._taken

    def begin(self, bindings: dict[Identifier, str | None], taken: set[str]) -> None:
        """Start folding on what the database said: the workers of the identifiers, and the events that it has."""
        self._bindings |= bindings
        self._taken |= taken
        self._state = self._memory.open_batch(self._bindings, self._taken)

    def apply(self, message: Decoded) -> None:
        """Fold the next message."""
        if not isinstance(message, Parked):
            self.changes.rejects.pass_time(message.message.stored_at_ns // 1000)
        match message:
            case Request():
                self._note(message)
                self._apply_request(message)
            case Fact(message=stored, fact=WorkersImported() as fact):
                for claim, name in _imported(fact):
                    resolution = self._resolve(claim, stored, fact.occurred_at_us)
                    self.changes.workers.add_to_directory(fact.org_id, resolution.worker_id, name)
            case Parked():
                self.changes.parked.append(message)

    def _admit(self, message: Decoded) -> Decoded:
        """Take note of a founded org; park what belongs to an org that was not founded before."""
        if isinstance(message, Parked):
            return message
        org_id = message.fact.org_id if isinstance(message, Fact) else message.envelope.org_id
        known = org_id in self._memory.salts
        if isinstance(message, Fact) and isinstance(message.fact, OrgFounded):
            if not known:
                self._memory.salts[org_id] = message.fact.salt
                self.changes.orgs.append(message.fact)
            return message
        return message if known else park(message.message, f"org {org_id} was never founded in the stream")

    def _apply_request(self, request: Request) -> None:
        envelope, sequence = request.envelope, request.message.sequence
        resolved: list[tuple[AcceptedRow, EventRow | SnapshotRow, str]] = []
        settled, taken = self._memory.settled, self._taken
        for seen in request.rows:
            # The first of a name is the event for good. Another leaves no trace: nobody is founded or bound by it.
            if seen.name is not None and seen.name in taken:
                continue
            worker_id = settled(seen.sighting) or self._resolve_row(request, seen)
            if worker_id is None:
                reason = "the actor names nobody that could be stored"
                self.changes.parked.append(park_row(request.message, seen.accepted, reason))
            else:
                resolved.append((seen.accepted, seen.row, worker_id))
                if seen.name is not None:
                    taken.add(seen.name)
        self.changes.parked += request.parked
        if envelope.kind == "events":
            events = cast("list[tuple[AcceptedRow, EventRow, str]]", resolved)
            self.changes.timeline.append(timeline_block(envelope, sequence, events))
        else:
            for accepted, row, worker_id in cast("list[tuple[AcceptedRow, SnapshotRow, str]]", resolved):
                keep_newest(self.changes.snapshots, latest_snapshot(envelope, sequence, accepted, row, worker_id))

    def _note(self, request: Request) -> None:
        """What there is of a request besides its accepted rows."""
        envelope, message = request.envelope, request.message
        stored_at_us = message.stored_at_ns // 1000
        self.changes.requests.append(request_row(envelope, message.sequence))
        for row in envelope.rejected:
            if not self.changes.rejects.add(envelope, message.sequence, stored_at_us, row):
                self.changes.parked.append(park_row(message, row, "the rejected row is not text"))

    def _resolve_row(self, request: Request, seen: SeenRow) -> str | None:
        claim = self._claims[seen.sighting]
        if claim is None:
            return None
        envelope = request.envelope
        resolution = self._resolve(claim, request.message, envelope.received_at_us)
        self.changes.workers.add_connection(envelope.org_id, resolution.worker_id, envelope.connection)
        if not resolution.conflicts:
            self._memory.settle(seen.sighting, resolution.worker_id)
        return resolution.worker_id

    def _resolve(self, claim: Claim, message: StoredMessage, at_us: int) -> Resolution:
        assert self._state is not None, "begin comes before apply"
        resolution = resolve(self._state, claim)
        evolve(self._state.bindings, claim, resolution)
        self.changes.workers.add_resolution(claim.org_id, resolution, message.sequence, at_us)
        return resolution


def _imported(fact: WorkersImported) -> list[tuple[Claim, str]]:
    """The claim by email, and the name, of each person of an import."""
    claims = [(claim_of(fact.org_id, "", UNSET, UNSET, entry.email), entry.name) for entry in fact.workers]
    return [(claim, name) for claim, name in claims if claim is not None]
