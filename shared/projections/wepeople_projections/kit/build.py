"""Builds a projection in memory, from the first message, in batches cut as somebody likes."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from wepeople_chassis.stream import StoredMessage
from wepeople_projections.batch.tables import MemoryTables
from wepeople_projections.definition.projection import Definition
from wepeople_projections.definition.selection import Selection
from wepeople_projections.definition.table import Row
from wepeople_projections.errors import OperationError
from wepeople_projections.folding.decode import decode
from wepeople_projections.folding.fold import Fold
from wepeople_projections.folding.memory import Memory, Place
from wepeople_projections.folding.parked import WHOLE_MESSAGE, Parked

_RANDOM_BUILDS = 3


@dataclass(frozen=True, slots=True)
class Plan:
    """How a build is cut: the messages of each batch, as delivered; `restarts` are the batches, counted from 0, before
    which whoever builds is started anew and remembers nothing.
    """

    words: str
    batches: list[list[StoredMessage]]
    restarts: frozenset[int] = frozenset()


def plans(messages: Sequence[StoredMessage]) -> Iterator[Plan]:
    """Every way of building that must come to the same; the first is the plainest."""
    singly = [[message] for message in messages]
    yield Plan("one message a batch", singly)
    yield Plan("every message delivered twice", [batch for batch in singly for _ in range(2)] + singly)
    yield Plan("started anew before every message", singly, frozenset(range(len(singly))))
    yield Plan("all in one batch", [list(messages)])
    for seed in range(_RANDOM_BUILDS):
        chance = random.Random(seed)  # noqa: S311  # the same cuts each time
        batches: list[list[StoredMessage]] = [[]]
        for message in messages:
            if batches[-1] and chance.random() < 1 / 3:
                batches.append([])
            batches[-1].append(message)
        restarts = frozenset(n for n in range(len(batches)) if chance.random() < 1 / 2)
        sizes = ", ".join(str(len(batch)) for batch in batches)
        yield Plan(f"batches of {sizes} messages, started anew now and then", batches, restarts)


class Build:
    """A projection's tables in memory, and what keeps them."""

    def __init__(self, definition: Definition) -> None:
        self.definition = definition
        self.tables = MemoryTables()
        self._memory = Memory({})
        self._through = 0

    def run(self, plan: Plan) -> "Build":
        """Build as planned."""
        for number, batch in enumerate(plan.batches):
            if number in plan.restarts:
                self._restart()
            self._take(batch)
        return self

    def rows(self) -> dict[type[Row], list[Row]]:
        """All rows of all tables."""
        return {spec.row: self.tables.rows(spec) for spec in self.definition.tables}

    def parked(self) -> dict[Place, Parked]:
        """What was parked, by where it is in the stream."""
        return {(parked.message.sequence, parked.row_index): parked for parked in self.tables.parked}

    def _take(self, delivered: Sequence[StoredMessage]) -> None:
        messages: list[StoredMessage] = []
        for message in delivered:
            # Delivered again, as after a crash: the checkpoint is past it.
            if message.sequence > self._through:
                messages.append(message)
                self._through = message.sequence
        fold = self._begun(messages)
        for decoded in fold.messages:
            fold.apply(decoded)
        try:
            self.tables.write(fold.changes)
        except OperationError:
            self._restart()
            for message in messages:
                self._take_singly(message)
        else:
            self._memory.commit_batch()

    def _take_singly(self, message: StoredMessage) -> None:
        """As production does what the database refused: part by part, and what is refused is parked."""
        fold = self._begun([message])
        for step in fold.steps():
            try:
                self.tables.write(step.changes)
            except OperationError as refused:
                self.tables.write(fold.take_back(f"it was refused: {refused}"))
        self._memory.commit_batch()

    def _begun(self, messages: Sequence[StoredMessage]) -> Fold:
        decoded = [decode(message, self.definition) for message in messages]
        fold = Fold(self.definition, Selection(), self._memory, decoded)
        identifiers, names = fold.unknown()
        fold.begin(self.tables.bindings(identifiers), self.tables.taken(names))
        return fold

    def _restart(self) -> None:
        blocked: dict[tuple[str, str], Place] = {}
        for (sequence, index), parked in sorted(self.parked().items()):
            if self.definition.ordered and (parked.worker_id or index == WHOLE_MESSAGE):
                blocked.setdefault((parked.org_id, parked.worker_id), (sequence, index))
        self._memory = Memory(self.tables.salts(), blocked)
