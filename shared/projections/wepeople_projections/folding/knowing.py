"""What one batch must know of workers and named events, and what it learns of them."""

from msgspec import UNSET

from wepeople_contracts.directory import WorkersImported
from wepeople_contracts.rows import Actor
from wepeople_projections.batch.changes import Changes
from wepeople_projections.folding.decode import StoredFact, StoredRequest
from wepeople_projections.folding.identity import (
    Claim,
    Identifier,
    Resolution,
    claim_of,
    evolve,
    needs,
    resolve,
    worker_identifier,
)
from wepeople_projections.folding.memory import Memory, Source

Entry = tuple[int, Claim, str]
"""A person of an import who can be stored: the place in it, the claim by email, the name."""


class Knowledge:
    """One batch's. `taken` are the named events that are stored already, or that the batch has brought so far."""

    def __init__(self, memory: Memory) -> None:
        self.taken: set[str] = set()
        self._memory = memory
        self._claims: dict[tuple[Source, Actor], Claim | None] = {}
        self._asked: list[Claim] = []
        self._names: set[str] = set()
        self._bindings: dict[Identifier, str | None] = {}
        self._state = memory.open_batch(self._bindings, self.taken)
        self._before: tuple[dict[Identifier, str | None], set[str]] = ({}, set())
        self._settled_last: tuple[Source, Actor] | None = None

    def note_names(self, request: StoredRequest) -> None:
        """These events will come."""
        if request.request.kind == "events":
            self._names.update([row.event_id for row in request.accepted if row.named])

    def note_import(self, fact: StoredFact) -> None:
        """This fact will come."""
        self._asked += [claim for _, claim, _ in entries_of(fact)]

    def workers(self, request: StoredRequest) -> list[str | None]:
        """The workers of a request's rows as far as memory has them; the others will come as claims."""
        source, known = request.source, self._memory.recent(request.source).get
        workers = [known(row.actor) for row in request.rows]
        if None in workers:
            for place, (row, worker) in enumerate(zip(request.rows, workers, strict=True)):
                if worker is None:
                    workers[place] = self._settled_or_claimed(source, row.actor)
        return workers

    def unknown(self) -> tuple[set[Identifier], set[str]]:
        """The identifiers, and the ids of named events, noted since it was last called, that the database must be asked
        about; batches in flight know of the others.
        """
        needed = {identifier for claim in self._asked for identifier in needs(claim, self._memory.salts)}
        names = self._names
        self._asked, self._names = [], set()
        self._bindings.update(self._memory.known(needed))
        self.taken |= self._memory.taken(names)
        return needed - self._bindings.keys(), names - self.taken

    def begin(self, bindings: dict[Identifier, str | None], taken: set[str]) -> None:
        """What the database said: the workers of the identifiers, and the events that it has."""
        self._bindings |= bindings
        self.taken |= taken

    def claim(self, source: Source, actor: Actor) -> Claim | None:
        """What an actor whom memory did not have claims; None when that is nobody who could be stored."""
        return self._claims[source, actor]

    def resolve(self, claim: Claim) -> Resolution:
        """Whose row it is, and what would be learnt by it."""
        return resolve(self._state, claim)

    def learn(self, claim: Claim, resolution: Resolution, changes: Changes) -> None:
        """The row was applied: what it says of its worker is true from now on."""
        evolve(self._bindings, claim, resolution)
        worker_id = resolution.worker_id
        for identifier in resolution.bound:
            changes.bound[identifier] = worker_id
        if resolution.founded and not resolution.bound:
            # Founded by a workerId that named nobody: its own id is all there is to find it by.
            changes.bound[worker_identifier(claim.org_id, worker_id)] = worker_id

    def settle(self, source: Source, actor: Actor, worker_id: str) -> None:
        """All is known of this actor, and every handler that asks was told."""
        self._memory.settle(source, actor, worker_id)
        self._settled_last = (source, actor)

    def mark(self) -> None:
        """What is learnt from here on can be taken back."""
        self._before = (dict(self._bindings), set(self.taken))
        self._settled_last = None

    def take_back(self) -> None:
        """Forget what was learnt since the mark."""
        bindings, taken = self._before
        self._bindings.clear()
        self._bindings.update(bindings)
        self.taken.intersection_update(taken)
        if self._settled_last is not None:
            self._memory.unsettle(*self._settled_last)

    def _settled_or_claimed(self, source: Source, actor: Actor) -> str | None:
        worker = self._memory.settled(source, actor)
        if worker is None and (source, actor) not in self._claims:
            org_id, app_id, _ = source
            claim = claim_of(org_id, app_id, actor.worker_id, actor.external_id, actor.email)
            self._claims[source, actor] = claim
            if claim is not None:
                self._asked.append(claim)
        return worker


def entries_of(fact: StoredFact) -> list[Entry]:
    """The people of an import; nobody for any other fact."""
    body = fact.fact.body
    if not isinstance(body, WorkersImported):
        return []
    claims = [(claim_of(body.org_id, "", UNSET, UNSET, entry.email), entry.name) for entry in body.workers]
    return [(index, claim, name) for index, (claim, name) in enumerate(claims) if claim is not None]
