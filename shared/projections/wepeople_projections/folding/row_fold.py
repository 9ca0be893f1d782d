"""Folds one row, or one of the other parts of a message: resolve, call the handlers, and apply all of it or park it.

A part that is parked leaves no trace: nobody is founded, bound or named by it.
"""

from collections.abc import Sequence
from typing import Any, cast

from msgspec import UNSET

from wepeople_chassis.stream import StoredMessage
from wepeople_contracts.envelope import AcceptedRow, RejectedRow
from wepeople_contracts.rows import EventRow, SnapshotRow
from wepeople_projections.batch.changes import Changes
from wepeople_projections.definition.as_items import event_of, identified_of, snapshot_of
from wepeople_projections.definition.items import Event, Reject
from wepeople_projections.definition.projection import Definition, Handler
from wepeople_projections.definition.selection import Selection
from wepeople_projections.folding.decode import StoredFact, StoredRequest
from wepeople_projections.folding.emission import emitted, reason_of
from wepeople_projections.folding.identity import Resolution
from wepeople_projections.folding.knowing import Entry, Knowledge
from wepeople_projections.folding.memory import Memory
from wepeople_projections.folding.parked import WHOLE_MESSAGE, Parked
from wepeople_projections.times import EPOCH, MICROSECOND

Calls = list[tuple[Sequence[Handler], Any]]
"""Handlers, and the item that each of them is given."""


class RowFold:
    """A batch's; effects gather in `changes`. Each method returns whether the part was applied; if not, it is parked,
    or it is an event sent again. `worker_id` is that of the last row.
    """

    def __init__(self, definition: Definition, selection: Selection, memory: Memory, knowledge: Knowledge) -> None:
        self.changes = Changes(definition.tables)
        self.worker_id = ""
        self._definition = definition
        self._selection = selection
        self._memory = memory
        self._knowledge = knowledge
        self._by_type = _ByType(definition, selection)

    def header(self, message: StoredRequest | StoredFact) -> bool:
        """What there is of a message besides its rows; when that is parked, all of the message is."""
        self.worker_id = ""
        if isinstance(message, StoredRequest):
            return self._take(message, WHOLE_MESSAGE, [(self._definition.requests.of(""), message.request)])
        handlers = self._definition.facts.of(type(message.fact.body).__name__)
        return self._take(message, WHOLE_MESSAGE, [(handlers, message.fact)])

    def reject(self, request: StoredRequest, row: RejectedRow) -> bool:
        """A row that was refused."""
        self.worker_id = ""
        return self._take(request, row.index, [(self._definition.rejects.of(""), Reject(request.request, row))])

    def fault(self, request: StoredRequest, row: AcceptedRow, reason: str) -> bool:
        """An accepted row that cannot be decoded."""
        self.worker_id = ""
        self.park(request.message, row.index, request.org_id, reason)
        return False

    def row(self, request: StoredRequest, accepted: AcceptedRow, row: EventRow | SnapshotRow) -> bool:
        """An accepted row, whoever it is of."""
        knowledge, index = self._knowledge, accepted.index
        name = accepted.event_id if accepted.named and isinstance(row, EventRow) else None
        # The first of a name is the event for good. Another leaves no trace: nobody is founded or bound by it.
        if name is not None and name in knowledge.taken:
            return False
        sees = self._sees(request, row)
        claim, resolution, self.worker_id = None, None, ""
        if self._definition.resolves_workers:
            self.worker_id = self._memory.settled(request.source, row.actor) or ""
            if not self.worker_id:
                claim = knowledge.claim(request.source, row.actor)
                if claim is None:
                    if sees:
                        self.park(request.message, index, request.org_id, "the actor names nobody that could be stored")
                    return False
                resolution = knowledge.resolve(claim)
                self.worker_id = resolution.worker_id
        if sees and not self._take_of_worker(request, index, self._calls(request, accepted, row, resolution)):
            return False
        if claim is not None and resolution is not None:
            knowledge.learn(claim, resolution, self.changes)
            if not resolution.conflicts and (sees or not self._definition.identified):
                knowledge.settle(request.source, row.actor, self.worker_id)
        if name is not None:
            knowledge.taken.add(name)
            self.changes.named[name] = request.org_id
        return True

    def entry(self, fact: StoredFact, entry: Entry) -> bool:
        """A person of an import."""
        index, claim, name = entry
        resolution = self._knowledge.resolve(claim)
        self.worker_id = resolution.worker_id
        if self._selection.takes_message(fact.message.sequence, None):
            item = identified_of(fact, resolution, fact.fact.body.occurred_at_us, None, name)
            if not self._take_of_worker(fact, index, [(self._definition.identified.of(""), item)]):
                return False
        self._knowledge.learn(claim, resolution, self.changes)
        return True

    def events(self, request: StoredRequest, workers: Sequence[str | None]) -> None:
        """All events of a request: the same as `row` for each, but fast for those whose worker is settled."""
        if not self._selection.takes_message(request.request.sequence, request.request.app_id):
            self._unseen(request, workers)
            return
        item, received_at_us, org_id = request.request, request.request.received_at_us, request.org_id
        apply, blocked, taken, by_type = self.changes.apply, self._memory.blocked, self._knowledge.taken, self._by_type
        rows, settled = cast("list[EventRow]", request.rows), self._memory.recent(request.source).get
        for accepted, row, worker in zip(request.accepted, rows, workers, strict=True):
            worker_id = settled(row.actor) if worker is None else worker
            if worker_id is None or blocked:
                self.row(request, accepted, row)
                continue
            named = accepted.named
            if named and accepted.event_id in taken:
                continue
            handlers = by_type[row.event_type]
            if handlers:
                try:
                    # As in `event_of`, whose call would cost as much as what it does.
                    timestamp, metadata = row.timestamp, row.metadata
                    event = Event(
                        item,
                        accepted.event_id,
                        accepted.index,
                        worker_id,
                        row.event_type,
                        row.category,
                        received_at_us if timestamp is UNSET else (timestamp - EPOCH) // MICROSECOND,
                        None if row.duration is UNSET else row.duration,
                        None if metadata is UNSET else bytes(metadata),
                    )
                    operations = emitted(handlers, event)
                    if operations:
                        apply(org_id, operations)
                except MemoryError:
                    raise
                except (Exception, SystemExit) as error:
                    self.worker_id = worker_id
                    self.park(request.message, accepted.index, org_id, reason_of(error))
                    continue
            if named:
                taken.add(accepted.event_id)
                self.changes.named[accepted.event_id] = org_id

    def keep(self, parked: Parked) -> bool:
        """A message that is parked already."""
        self.worker_id = ""
        self.park(parked.message, parked.row_index, parked.org_id, parked.reason)
        return False

    def park(self, message: StoredMessage, index: int, org_id: str, reason: str, *, waits: bool = False) -> None:
        """Put the part aside; where order is asked for, what comes after it of the same worker waits."""
        # A reason may quote anything, and Postgres has neither NUL nor half a character.
        storable = reason.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()
        self.changes.parked.append(Parked(message, index, org_id, self.worker_id, storable, waits))
        if self._definition.ordered and (self.worker_id or index == WHOLE_MESSAGE):
            self._memory.blocked.setdefault((org_id, self.worker_id), (message.sequence, index))

    def _unseen(self, request: StoredRequest, workers: Sequence[str | None]) -> None:
        """Events outside the selection: only what they teach of workers and names."""
        for accepted, row, worker_id in zip(request.accepted, request.rows, workers, strict=True):
            if worker_id is None or accepted.named:
                self.row(request, accepted, row)

    def _sees(self, request: StoredRequest, row: EventRow | SnapshotRow) -> bool:
        takes_type = self._selection.takes_type(row.event_type if isinstance(row, EventRow) else None)
        return takes_type and self._selection.takes_message(request.request.sequence, request.request.app_id)

    def _calls(
        self, request: StoredRequest, accepted: AcceptedRow, row: EventRow | SnapshotRow, resolution: Resolution | None
    ) -> Calls:
        calls: Calls = []
        item, received_at_us = request.request, request.request.received_at_us
        if resolution is not None and self._definition.identified:
            identified = identified_of(request, resolution, received_at_us, item.connection, None)
            calls.append((self._definition.identified.of(""), identified))
        if isinstance(row, EventRow):
            handlers = self._by_type[row.event_type]
            calls.append((handlers, event_of(item, accepted, row, self.worker_id, received_at_us)))
        else:
            handlers = self._definition.snapshots.of(row.snapshot_type)
            calls.append((handlers, snapshot_of(item, accepted, row, self.worker_id)))
        return calls

    def _take_of_worker(self, message: StoredRequest | StoredFact, index: int, calls: Calls) -> bool:
        if self._memory.blocked and self._waits(message.org_id, (message.message.sequence, index)):
            self.park(message.message, index, message.org_id, "it waits for a parked row of its worker", waits=True)
            return False
        return self._take(message, index, calls)

    def _waits(self, org_id: str, place: tuple[int, int]) -> bool:
        firsts = (self._memory.blocked.get((org_id, worker)) for worker in (self.worker_id, ""))
        return any(first is not None and first < place for first in firsts)

    def _take(self, message: StoredRequest | StoredFact, index: int, calls: Calls) -> bool:
        """Apply all that the handlers make of their items, or park the part of the message."""
        try:
            operations = [operation for handlers, item in calls for operation in emitted(handlers, item)]
            if operations:
                self.changes.apply(message.org_id, operations)
        except MemoryError:
            # Not the row's fault, and another time there may be enough.
            raise
        except (Exception, SystemExit) as error:
            self.park(message.message, index, message.org_id, reason_of(error))
            return False
        return True


class _ByType(dict[str, Sequence[Handler]]):
    """The handlers of each type of event, without those that the selection leaves out."""

    def __init__(self, definition: Definition, selection: Selection) -> None:
        self._definition = definition
        self._selection = selection

    def __missing__(self, event_type: str) -> Sequence[Handler]:
        taken = self._selection.takes_type(event_type)
        handlers = self[event_type] = self._definition.events.of(event_type) if taken else ()
        return handlers
