"""What a partition's fold remembers between batches; dropped whole after any failure, and loaded again.

Two things: whom recent sightings were resolved to, so that a known actor costs one look-up in a dictionary; and what
batches on their way to the database have bound and named, which a query would not find yet.
"""

from collections import deque
from collections.abc import Iterable

from msgspec import UnsetType

from wepeople_projector.identity import Claim, Identifier, IdentityState, claim_of

Source = tuple[str, str, str]
"""Org, app and connection: what the rows of one request have in common."""
Sighting = tuple[Source, str | UnsetType, str | UnsetType, str | UnsetType]
"""An actor as a row names it: source, workerId, externalId, email."""

REMEMBERED_SIGHTINGS = 32_768


class Memory:
    """One partition's; `salts` are those of the orgs founded so far."""

    def __init__(self, salts: dict[str, bytes]) -> None:
        self.salts = salts
        self._recent: dict[Sighting, str] = {}
        self._older: dict[Sighting, str] = {}
        self._in_flight: deque[dict[Identifier, str | None]] = deque()
        self._names_in_flight: deque[set[str]] = deque()

    def begin_batch(self) -> None:
        """Forget what was not seen for long; only here, so that within a batch nothing known is forgotten."""
        if len(self._recent) > REMEMBERED_SIGHTINGS:
            self._older, self._recent = self._recent, {}

    def settled(self, sighting: Sighting) -> str | None:
        """The worker of a sighting that was resolved before without a conflict."""
        worker = self._recent.get(sighting)
        if worker is None:
            worker = self._older.get(sighting)
            if worker is not None:
                self._recent[sighting] = worker
        return worker

    def settle(self, sighting: Sighting, worker_id: str) -> None:
        """Remember a sighting whose identifiers are all bound to this worker, by this app's connection too."""
        self._recent[sighting] = worker_id

    def claims(self, sightings: Iterable[Sighting]) -> dict[Sighting, Claim | None]:
        """The claims of the sightings that are not settled."""
        recent, settled = self._recent, self.settled
        claims: dict[Sighting, Claim | None] = {}
        for sighting in sightings:
            if sighting not in recent and sighting not in claims and settled(sighting) is None:
                (org_id, app_id, _), *identifiers = sighting
                claims[sighting] = claim_of(org_id, app_id, *identifiers)
        return claims

    def known(self, identifiers: Iterable[Identifier]) -> dict[Identifier, str | None]:
        """Those identifiers that a batch in flight has looked up or bound: the newest batch knows best."""
        found: dict[Identifier, str | None] = {}
        for identifier in identifiers:
            for bindings in reversed(self._in_flight):
                if identifier in bindings:
                    found[identifier] = bindings[identifier]
                    break
        return found

    def taken(self, event_ids: set[str]) -> set[str]:
        """Those ids of named events that a batch in flight knows to be in the timeline, or brings there."""
        return event_ids.intersection(set().union(*self._names_in_flight))

    def open_batch(self, bindings: dict[Identifier, str | None], taken: set[str]) -> IdentityState:
        """The state that the next batch is folded on; what it adds to both counts as in flight until `commit_batch`."""
        self._in_flight.append(bindings)
        self._names_in_flight.append(taken)
        return IdentityState(self.salts, bindings)

    def commit_batch(self) -> None:
        """The oldest batch in flight is in the database."""
        self._in_flight.popleft()
        self._names_in_flight.popleft()
