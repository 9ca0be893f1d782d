"""Folds decoded messages, in stream order, into what one transaction writes. No I/O.

In four steps, because several messages are looked up at once: `admit`, then `unknown` and `begin`, then `apply` for
each; and so on with the next messages of the batch. A few at a time (some 2,000 rows), so that what was decoded is
still in the processor's cache when it is applied: a quarter of the work is waiting for memory otherwise.

What Postgres refuses goes through `steps` instead, part by part; what was parked comes back by `retries`.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import lru_cache, partial

import msgspec
from msgspec import Struct

from wepeople_contracts.directory import OrgFounded
from wepeople_projections.batch.changes import Changes
from wepeople_projections.definition.projection import Definition
from wepeople_projections.definition.selection import Selection
from wepeople_projections.folding.decode import Decoded, StoredFact, StoredRequest, app_of, park
from wepeople_projections.folding.identity import Identifier
from wepeople_projections.folding.knowing import Knowledge, entries_of
from wepeople_projections.folding.memory import Memory, Place
from wepeople_projections.folding.parked import WHOLE_MESSAGE, Parked
from wepeople_projections.folding.row_fold import RowFold

Part = tuple[int, Callable[[], bool]]
"""A row's index, or WHOLE_MESSAGE for what there is besides rows; and what applies it, which says whether it did."""


class Step(Struct, frozen=True):
    """What one part of a message comes to."""

    message: StoredRequest | StoredFact | Parked
    row_index: int
    changes: Changes


class Fold:
    """The fold of one batch: messages are applied one after the other, their effects gather in `changes`.

    `skipped` are parts (sequence, row's index) that somebody decided to leave out: they leave no trace.
    """

    def __init__(
        self,
        definition: Definition,
        selection: Selection,
        memory: Memory,
        decoded: Iterable[Decoded] = (),
        *,
        skipped: frozenset[Place] = frozenset(),
    ) -> None:
        memory.begin_batch()
        self._definition = definition
        self._selection = selection
        self._memory = memory
        self._knowledge = Knowledge(memory)
        self._rows = RowFold(definition, selection, memory, self._knowledge)
        self._founding: dict[int, OrgFounded] = {}
        self._workers: dict[int, Sequence[str | None]] = {}
        self._step: Step | None = None
        self._skipped = skipped
        self._with_skipped = _messages_of(skipped)
        self.messages = self.admit(decoded)

    @property
    def changes(self) -> Changes:
        """What the messages applied so far come to; in `steps`, what the last step does."""
        return self._rows.changes

    def admit(self, decoded: Iterable[Decoded]) -> list[Decoded]:
        """Take note of the batch's next messages; those to apply: all but those of orgs outside the selection, and
        those of unknown orgs parked.
        """
        return [admitted for message in decoded if (admitted := self._admit(message)) is not None]

    def unknown(self) -> tuple[set[Identifier], set[str]]:
        """The identifiers, and the ids of named events, that the database must be asked about now."""
        return self._knowledge.unknown()

    def begin(self, bindings: dict[Identifier, str | None], taken: set[str]) -> None:
        """Start folding on what the database said: the workers of the identifiers, and the events that it has."""
        self._knowledge.begin(bindings, taken)

    def apply(self, message: Decoded) -> None:
        """Fold the next message."""
        if message.message.sequence in self._with_skipped:
            for index, take in self._parts(message):
                if not take() and index == WHOLE_MESSAGE:
                    return
            return
        for index, take in self._head(message):
            if not take() and index == WHOLE_MESSAGE:
                return
        if isinstance(message, StoredRequest) and message.request.kind == "events":
            self._rows.events(message, self._workers.get(message.message.sequence, ()))
        else:
            for _, take in self._body(message):
                take()

    def steps(self) -> Iterator[Step]:
        """Fold all messages part by part, for who writes each by itself. A step can be taken back until the next."""
        for message in self.messages:
            for index, take in self._parts(message):
                self._rows.changes = Changes(self._definition.tables)
                self._knowledge.mark()
                applied = take()
                self._step = step = Step(message, index, self.changes)
                yield step
                if index == WHOLE_MESSAGE and not (applied and self._step is step):
                    break

    def take_back(self, reason: str) -> Changes:
        """Undo the last step, which was refused: instead, its part is parked. If that is what a message has besides
        rows, no step comes of its rows.
        """
        assert self._step is not None, "there was no step"
        message, index = self._step.message, self._step.row_index
        for org in self.changes.orgs:
            del self._memory.salts[org.org_id]
        self._knowledge.take_back()
        self._rows.changes = Changes(self._definition.tables)
        self._rows.park(message.message, index, message.org_id, reason)
        self._step = None
        return self.changes

    def retries(self, message: Decoded, indexes: Collection[int]) -> Iterator[Part]:
        """Those parts of one of the messages that were parked before, to be applied as if they came now; each may be
        parked again.
        """
        if isinstance(message, Parked):
            for index in indexes:
                yield index, partial(self._rows.keep, msgspec.structs.replace(message, row_index=index))
            return
        if WHOLE_MESSAGE in indexes:
            yield WHOLE_MESSAGE, partial(self._apply_whole, message)
        for index, take in (*self._head(message), *self._body(message)):
            if index != WHOLE_MESSAGE and index in indexes:
                yield index, take

    def _apply_whole(self, message: Decoded) -> bool:
        self.apply(message)
        return True

    def _admit(self, message: Decoded) -> Decoded | None:
        """Take note of what a message brings; park what belongs to an org that was not founded before."""
        if not self._selection.takes_org(message.org_id):
            return None
        if isinstance(message, Parked):
            return message if self._selection.takes_message(message.message.sequence, app_of(message.message)) else None
        if self._definition.resolves_workers:
            self._found(message)
            if message.org_id not in self._memory.salts:
                reason = f"org {message.org_id} was never founded in the stream"
                return self._admit(park(message.message, message.org_id, reason))
            if isinstance(message, StoredFact):
                self._knowledge.note_import(message)
        if isinstance(message, StoredRequest) and message.rows:
            self._knowledge.note_names(message)
            resolves = self._definition.resolves_workers
            workers = self._knowledge.workers(message) if resolves else [""] * len(message.rows)
            self._workers[message.message.sequence] = workers
        return message

    def _found(self, message: StoredRequest | StoredFact) -> None:
        body = message.fact.body if isinstance(message, StoredFact) else None
        if isinstance(body, OrgFounded) and body.org_id not in self._memory.salts:
            self._memory.salts[body.org_id] = body.salt
            self._founding[message.message.sequence] = body

    def _parts(self, message: Decoded) -> Iterator[Part]:
        """All of a message but what is skipped; where that is all, time passes all the same, and an org is founded."""
        sequence, head = message.message.sequence, self._head(message)
        if (sequence, WHOLE_MESSAGE) in self._skipped:
            if not isinstance(message, Parked):
                yield next(head)
            return
        for index, take in (*head, *self._body(message)):
            if (sequence, index) not in self._skipped:
                yield index, take

    def _head(self, message: Decoded) -> Iterator[Part]:
        """What there is of a message besides its rows and the entries of an import."""
        if isinstance(message, Parked):
            yield message.row_index, partial(self._rows.keep, message)
            return
        yield WHOLE_MESSAGE, partial(self._open, message)
        app_id = message.request.app_id if isinstance(message, StoredRequest) else None
        if not self._selection.takes_message(message.message.sequence, app_id):
            return
        yield WHOLE_MESSAGE, partial(self._rows.header, message)
        if isinstance(message, StoredRequest):
            if self._definition.rejects:
                for rejected in message.rejected:
                    yield rejected.index, partial(self._rows.reject, message, rejected)
            for accepted, reason in message.faults:
                yield accepted.index, partial(self._rows.fault, message, accepted, reason)

    def _body(self, message: Decoded) -> Iterator[Part]:
        if isinstance(message, StoredRequest):
            for accepted, row in zip(message.accepted, message.rows, strict=True):
                yield accepted.index, partial(self._rows.row, message, accepted, row)
        elif isinstance(message, StoredFact) and self._definition.resolves_workers:
            for entry in entries_of(message):
                yield entry[0], partial(self._rows.entry, message, entry)

    def _open(self, message: StoredRequest | StoredFact) -> bool:
        """Time passes, rows are counted, an org is founded: whatever becomes of the message."""
        changes, place = self.changes, message.message
        changes.pass_time(message.org_id, place.stored_at_ns // 1000)
        if isinstance(message, StoredRequest):
            changes.rows += message.request.accepted
        if (org := self._founding.get(place.sequence)) is not None:
            changes.orgs.append(org)
        return True


@lru_cache(maxsize=8)
def _messages_of(parts: frozenset[Place]) -> frozenset[int]:
    """Kept, because every batch of a run asks for those of the same parts."""
    return frozenset(sequence for sequence, _ in parts)
