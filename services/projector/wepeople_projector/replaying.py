"""How things stood once: an org's history up to a point of the stream, folded anew in memory."""

from contextlib import aclosing
from datetime import datetime

from msgspec import Struct
from nats.aio.client import Client

from wepeople_chassis.reader import StreamReader
from wepeople_chassis.stream import StoredMessage, sequence_since, stream_of
from wepeople_contracts.subjects import org_filter, partition_of
from wepeople_projections.batch.changes import Changes
from wepeople_projections.batch.layer import Layer
from wepeople_projections.batch.tables import MemoryTables
from wepeople_projections.definition.points import nanoseconds
from wepeople_projections.definition.projection import Definition
from wepeople_projections.definition.selection import Selection
from wepeople_projections.definition.table import Row, TableSpec
from wepeople_projections.folding.decode import decode
from wepeople_projections.folding.fold import Fold
from wepeople_projections.folding.memory import Memory
from wepeople_projections.running.checkpoint import last_of


class Replayed(Struct, frozen=True):
    """One worker's rows in a table, and how many rows of the whole org could not be applied."""

    rows: list[Row]
    parked: int


async def sequence_at(connection: Client, org_id: str, point: int | datetime) -> int:
    """The last sequence of an org that counts: the point itself, or the last one stored at that time or before it."""
    stream = await stream_of(connection, partition_of(org_id))
    if isinstance(point, datetime):
        return await sequence_since(connection, stream.name, nanoseconds(point) + 1) - 1
    return min(point, stream.last_sequence)


async def replay(
    connection: Client, definition: Definition, spec: TableSpec, worker: tuple[str, str], through: int
) -> Replayed:
    """The rows of a worker (org, id) in one table of a projection, after everything up to a sequence.

    `StreamError` when the stream no longer has its beginning.
    """
    org_id, worker_id = worker
    subject, stream = org_filter(org_id), await stream_of(connection, partition_of(org_id))
    last = min(through, await last_of(connection, stream.name, subject))
    replaying, position = _Replaying(definition, spec, worker_id), 0
    async with aclosing(
        StreamReader(connection, stream=stream.name, filter_subject=subject, after=0).batches()
    ) as batches:
        while position < last:
            batch = await anext(batches)
            replaying.apply([message for message in batch.messages if message.sequence <= last])
            position = batch.through
    return Replayed(replaying.tables.rows(spec), len(replaying.tables.parked))


class _Replaying:
    def __init__(self, definition: Definition, spec: TableSpec, worker_id: str) -> None:
        self.tables = MemoryTables()
        self._definition = definition
        self._spec = spec
        self._worker_id = worker_id
        self._memory = Memory({})

    def apply(self, messages: list[StoredMessage]) -> None:
        definition, tables = self._definition, self.tables
        fold = Fold(definition, Selection(), self._memory, [decode(message, definition) for message in messages])
        identifiers, event_ids = fold.unknown()
        fold.begin(tables.bindings(identifiers), tables.taken(event_ids))
        for message in fold.messages:
            fold.apply(message)
        self._forget_others(fold.changes)
        tables.write(fold.changes)
        self._memory.commit_batch()

    def _forget_others(self, changes: Changes) -> None:
        """An org's whole history need not fit into memory: only the worker's own rows of the one table are kept."""
        changes.layers = [layer for layer in changes.layers if isinstance(layer, Layer) and layer.spec is self._spec]
        for layer in changes.layers:
            assert isinstance(layer, Layer)
            for rows in (layer.inserted, layer.upserted):
                for key in [key for key, row in rows.items() if getattr(row, "worker_id", "") != self._worker_id]:
                    del rows[key]
