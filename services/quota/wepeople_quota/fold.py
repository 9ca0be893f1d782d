"""Reading the stream into the ledger."""

import asyncio
import time
from contextlib import aclosing

from msgspec import DecodeError
from nats.aio.client import Client

from wepeople_chassis.logging import get_logger
from wepeople_chassis.reader import StreamReader
from wepeople_chassis.stream import StoredMessage, StreamError, StreamState, sequence_since
from wepeople_contracts.envelope import decode_head
from wepeople_contracts.subjects import STREAM_SUBJECTS, parse_ingest_subject
from wepeople_contracts.upcasting import NewerVersion
from wepeople_quota.count import Position
from wepeople_quota.ledger import Ledger
from wepeople_quota.month import NANOSECONDS

log = get_logger(__name__)

_CHARGED_KINDS = frozenset({"events", "snapshot"})


class Fold:
    """Keeps the ledger at the stream's end."""

    def __init__(self, connection: Client, ledger: Ledger, start: StreamState) -> None:
        self._connection = connection
        self._ledger = ledger
        self._start = start
        self._through = 0
        self._moved = asyncio.Event()

    async def reach(self, sequence: int) -> None:
        """Return once everything up to a sequence is in the ledger."""
        while self._through < sequence:
            self._moved.clear()
            await self._moved.wait()

    async def recall(self, *, remember_seconds: float) -> None:
        """Learn again the ids of counted messages that are younger than the duplicate window, from headers alone.

        `StreamError` when the message at the saved position is not the one that was counted there.
        """
        counted = self._ledger.position
        since = await sequence_since(
            self._connection, self._start.name, time.time_ns() - int(remember_seconds * NANOSECONDS)
        )
        first = max(min(since, counted.sequence), self._start.first_sequence)
        if not 0 < first <= counted.sequence:
            return
        reader = self._reader(after=first - 1, headers_only=True)
        async with aclosing(reader.batches()) as batches:
            async for batch in batches:
                for message in batch.messages:
                    if message.sequence == counted.sequence and message.message_id != counted.message_id:
                        raise StreamError(
                            f"the message at {counted.sequence} of {self._start.name} is not the one that was counted "
                            "there; restore the right stream, or empty the tables of the schema quota to count this one"
                        )
                    if message.sequence <= counted.sequence and _is_charged(message):
                        self._ledger.remember(message.message_id, message.sequence, message.stored_at_ns)
                if batch.through >= counted.sequence:
                    return

    async def follow(self) -> None:
        """Fold for ever; `StreamError` when the stream cannot be read on."""
        self._through = self._ledger.position.sequence
        self._moved.set()
        reader = self._reader(after=self._ledger.position.sequence, headers_only=False)
        asked_at_ns = time.time_ns()
        async with aclosing(reader.batches()) as batches:
            async for batch in batches:
                for message in batch.messages:
                    _fold(self._ledger, message)
                if batch.messages:
                    self._ledger.advance(batch.messages[-1].stored_at_ns)
                elif batch.pending == 0:
                    if batch.through > self._ledger.position.sequence:
                        self._ledger.pass_over(Position(batch.through, "", self._ledger.position.stored_at_ns))
                    # The server found nothing after it was asked, so all that was stored before is here.
                    self._ledger.advance(asked_at_ns)
                self._through = max(self._through, batch.through)
                self._moved.set()
                asked_at_ns = time.time_ns()

    def _reader(self, *, after: int, headers_only: bool) -> StreamReader:
        return StreamReader(
            self._connection,
            stream=self._start.name,
            filter_subject=STREAM_SUBJECTS,
            after=after,
            identity=self._start.identity,
            headers_only=headers_only,
        )


def _fold(ledger: Ledger, message: StoredMessage) -> None:
    position = Position(message.sequence, message.message_id, message.stored_at_ns)
    if not _is_charged(message):
        ledger.pass_over(position)
        return
    try:
        head = decode_head(message.data)
    except NewerVersion as error:
        # Passing it over would lose its charge for good. Stopped here, the count goes on after the upgrade.
        raise StreamError(f"message {message.sequence} cannot be counted: {error}") from error
    except DecodeError as error:
        # Whoever cannot be read cannot be charged: one bad message must not stop the count of all orgs.
        log.error("not_an_envelope", sequence=message.sequence, subject=message.subject, error=str(error))
        ledger.pass_over(position)
        return
    ledger.fold(position, head)


def _is_charged(message: StoredMessage) -> bool:
    return parse_ingest_subject(message.subject).kind in _CHARGED_KINDS
