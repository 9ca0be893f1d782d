"""What a partition's fold remembers between batches; dropped whole after any failure, and loaded again.

Three things: whom recent actors were resolved to, so that a known one costs one look-up in a dictionary; what batches
on their way to the database have bound and named, which a query would not find yet; and, where a projection asks for
order, which workers wait.
"""

from collections import defaultdict, deque
from collections.abc import Iterable

from wepeople_contracts.rows import Actor
from wepeople_projections.folding.identity import Identifier, IdentityState

Source = tuple[str, str, str]
"""Org, app and connection: what the rows of one request have in common."""
Place = tuple[int, int]
"""Where a row is: the message's sequence, the row's index."""

REMEMBERED_ACTORS = 32_768


class Memory:
    """One partition's. `salts` are those of the orgs founded so far; `blocked` has the first place in the stream that
    was parked of each (org, worker), or of (org, "") where a whole message was: what comes after it waits.
    """

    def __init__(self, salts: dict[str, bytes], blocked: dict[tuple[str, str], Place] | None = None) -> None:
        self.salts = salts
        self.blocked = {} if blocked is None else blocked
        self._recent: defaultdict[Source, dict[Actor, str]] = defaultdict(dict)
        self._older: defaultdict[Source, dict[Actor, str]] = defaultdict(dict)
        self._settled = 0
        self._in_flight: deque[dict[Identifier, str | None]] = deque()
        self._names_in_flight: deque[set[str]] = deque()

    def begin_batch(self) -> None:
        """Forget whom nobody mentioned for long; only here, so that within a batch nothing known is forgotten."""
        if self._settled > REMEMBERED_ACTORS:
            self._older, self._recent, self._settled = self._recent, defaultdict(dict), 0

    def recent(self, source: Source) -> dict[Actor, str]:
        """The workers of the source's actors that were settled or asked for lately; `settled` knows of more."""
        return self._recent[source]

    def settled(self, source: Source, actor: Actor) -> str | None:
        """The worker of an actor that was resolved before without a conflict."""
        worker = self._recent[source].get(actor)
        if worker is None and source in self._older:
            worker = self._older[source].get(actor)
            if worker is not None:
                self.settle(source, actor, worker)
        return worker

    def settle(self, source: Source, actor: Actor, worker_id: str) -> None:
        """Remember an actor whose identifiers are all bound to this worker, by this app's connection too."""
        self._recent[source][actor] = worker_id
        self._settled += 1

    def unsettle(self, source: Source, actor: Actor) -> None:
        """Forget it again: the row that settled it was refused."""
        self._recent[source].pop(actor, None)

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
        """Those ids of named events that a batch in flight knows to be stored, or brings."""
        return set().union(*(event_ids & names for names in self._names_in_flight))

    def open_batch(self, bindings: dict[Identifier, str | None], taken: set[str]) -> IdentityState:
        """The state that the next batch is folded on; what it adds to both counts as in flight until `commit_batch`."""
        self._in_flight.append(bindings)
        self._names_in_flight.append(taken)
        return IdentityState(self.salts, bindings)

    def commit_batch(self) -> None:
        """The oldest batch in flight is in the database."""
        self._in_flight.popleft()
        self._names_in_flight.popleft()
