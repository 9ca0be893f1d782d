"""Reading a stream into the ledgers of its partitions.

A message has the same sequence in whatever stream its partition is, so a ledger takes what comes after its own position
and passes over the rest: whoever reads may begin too early, and two may read at once.
"""

import asyncio
import time
from collections.abc import Mapping
from contextlib import aclosing
from typing import NamedTuple

from msgspec import DecodeError
from nats.aio.client import Client

from wepeople_chassis.logging import get_logger
from wepeople_chassis.reader import StreamReader
from wepeople_chassis.stream import (
    StoredMessage,
    StreamError,
    StreamMoved,
    StreamState,
    check_position,
    sequence_since,
)
from wepeople_contracts.envelope import decode_head
from wepeople_contracts.subjects import STREAM_SUBJECTS, parse_ingest_subject, partition_token
from wepeople_contracts.upcasting import NewerVersion
from wepeople_quota.count import Position
from wepeople_quota.ledger import Ledger
from wepeople_quota.month import NANOSECONDS

log = get_logger(__name__)

_CHARGED_KINDS = frozenset({"events", "snapshot"})


class _End(NamedTuple):
    """Where the stream ended at some moment after `asked_at_ns`, at which all of the partitions were still its own."""

    sequence: int
    asked_at_ns: int


class Fold:
    """Keeps the ledgers of the partitions that a stream takes at its end. `through` is how far it was read."""

    def __init__(self, connection: Client, state: StreamState, ledgers: Mapping[int, Ledger]) -> None:
        self.partitions = state.partitions
        self.through = 0
        self._connection = connection
        self._state = state
        self._all_ledgers = ledgers
        self._end: _End | None = None
        self._moved = asyncio.Event()
        self._settled = asyncio.Event()

    @property
    def identity(self) -> str:
        """Of the stream."""
        return self._state.identity

    @property
    def ledgers(self) -> Mapping[int, Ledger]:
        """Those of the stream's partitions."""
        return {partition: self._all_ledgers[partition] for partition in self.partitions}

    def settle(self, state: StreamState) -> None:
        """From now on keep only these partitions: the stream was split. One that left never comes back, so news that
        come late change nothing; never tell of a stream in the midst of a split, which may be undone.

        Who waits because the stream did not take all of them looks again.
        """
        left = self.partitions & state.partitions
        if left != self.partitions:
            self.partitions, self._state, self._end = left, state, None
        self._settled.set()

    def ends(self, state: StreamState, *, asked_at_ns: int) -> None:
        """Take note of where the stream ends: of an idle partition nothing else says how far it is read."""
        if self._end is None and state.partitions == self.partitions:
            self._end = _End(state.last_sequence, asked_at_ns)
            self._reach_end()

    async def reach(self, sequence: int) -> None:
        """Return once everything up to a sequence is in the ledgers."""
        while self.through < sequence:
            self._moved.clear()
            await self._moved.wait()

    async def recall(self, *, remember_seconds: float) -> None:
        """Learn again the ids of counted messages that are younger than the duplicate window, from headers alone, where
        ledgers were restored.

        `StreamError` when the stream is not the one that was counted.
        """
        while True:
            self._settled.clear()
            try:
                return await self._recall(remember_seconds)
            except StreamMoved as moved:
                await self._settles(moved)

    async def _recall(self, remember_seconds: float) -> None:
        ledgers = {p: ledger for p, ledger in self.ledgers.items() if not ledger.recalls_ids}
        if not ledgers:
            return
        for ledger in ledgers.values():
            check_position(self._state, after=ledger.position.sequence, identity=ledger.count.identity)
        counted = [ledger.position.sequence for ledger in ledgers.values()]
        young_ns = time.time_ns() - int(remember_seconds * NANOSECONDS)
        since = await sequence_since(self._connection, self._state.name, young_ns)
        first = max(min(since, *counted), self._state.first_sequence, 1)
        if first <= max(counted):
            await self._recall_from(first, max(counted), ledgers)
        for ledger in ledgers.values():
            ledger.recalls_ids = True

    async def _recall_from(self, first: int, last: int, ledgers: Mapping[int, Ledger]) -> None:
        async with aclosing(self._reader(after=first - 1, headers_only=True).batches()) as batches:
            async for batch in batches:
                for message in batch.messages:
                    ledger = ledgers.get(_partition(message))
                    if ledger is not None:
                        _recall(ledger, message)
                if batch.through >= last:
                    return

    async def follow(self) -> None:
        """Fold for ever; `StreamError` when the stream cannot be read on."""
        while True:
            self._settled.clear()
            try:
                await self._follow(self.ledgers)
            except StreamMoved as moved:
                await self._settles(moved)

    async def _settles(self, moved: StreamMoved) -> None:
        log.info("stream_moved", reason=str(moved))
        await self._settled.wait()

    async def _follow(self, ledgers: Mapping[int, Ledger]) -> None:
        """Fold until the stream has other partitions."""
        for one in ledgers.values():
            self._begin(one)
        after = min(one.position.sequence for one in ledgers.values())
        self.through = after
        self._moved.set()
        async with aclosing(self._reader(after=after, headers_only=False).batches()) as batches:
            async for batch in batches:
                touched: dict[int, Ledger] = {}
                for message in batch.messages:
                    partition = _partition(message)
                    ledger = ledgers.get(partition)
                    if ledger is not None and message.sequence > ledger.position.sequence:
                        _fold(ledger, message)
                        touched[partition] = ledger
                for one in touched.values():
                    # What was stored before in its partition has been folded.
                    one.advance(one.position.stored_at_ns)
                if self.partitions != ledgers.keys():
                    return
                self.through = max(self.through, batch.through)
                self._reach_end()
                self._moved.set()

    def _begin(self, ledger: Ledger) -> None:
        count, state = ledger.count, self._state
        if count.identity not in (None, state.identity):
            check_position(state, after=count.position.sequence, identity=count.identity)
        count.identity, ledger.stream = state.identity, state.name

    def _reach_end(self) -> None:
        """What a stream held of its partitions when it was asked has been folded by now: idle ones are so far too."""
        end = self._end
        if end is None or self.through < end.sequence:
            return
        self._end = None
        ledgers = self.ledgers.values()
        stored_at_ns = max(ledger.position.stored_at_ns for ledger in ledgers)
        for ledger in ledgers:
            ledger.pass_idle(end.sequence, stored_at_ns)
            ledger.advance(end.asked_at_ns)

    def _reader(self, *, after: int, headers_only: bool) -> StreamReader:
        return StreamReader(
            self._connection,
            stream=self._state.name,
            filter_subject=STREAM_SUBJECTS,
            partitions=self.partitions,
            after=after,
            identity=self._state.identity,
            headers_only=headers_only,
        )


def _partition(message: StoredMessage) -> int:
    return int(partition_token(message.subject))


def _recall(ledger: Ledger, message: StoredMessage) -> None:
    counted = ledger.position
    if message.sequence == counted.sequence and message.message_id != counted.message_id:
        raise StreamError(
            f"the message at {counted.sequence} of partition {_partition(message)} is not the one that was counted "
            "there; restore the right stream, or empty the tables of the schema quota to count this one"
        )
    if message.sequence <= counted.sequence and _is_charged(message):
        ledger.remember(message.message_id, message.sequence, message.stored_at_ns)


def _fold(ledger: Ledger, message: StoredMessage) -> None:
    position = Position(message.sequence, message.message_id, message.stored_at_ns)
    if not _is_charged(message):
        ledger.pass_over(position)
        return
    try:
        head = decode_head(message.data)
    except NewerVersion as error:
        # Passing it over would lose its charge for good. Stopped here, the count goes on after the upgrade.
        raise StreamError(f"message {message.sequence} of {ledger.stream} cannot be counted: {error}") from error
    except DecodeError as error:
        # Whoever cannot be read cannot be charged: one bad message must not stop the count of all orgs.
        log.error("not_an_envelope", sequence=message.sequence, subject=message.subject, error=str(error))
        ledger.pass_over(position)
        return
    ledger.fold(position, head)


def _is_charged(message: StoredMessage) -> bool:
    return parse_ingest_subject(message.subject).kind in _CHARGED_KINDS
