"""Reading a stream in order, without gaps, from any sequence.

A pull consumer asked by `CONSUMER.MSG.NEXT` with a byte limit. Never a push or ordered consumer: nats-py drops
messages silently at its pending limit, and as a filtered stream's sequences have natural gaps nobody would notice.
The *consumer* sequence has none, so it is what proves that nothing is missing (design §4, Reading).
"""

import asyncio
import json
from collections import deque
from collections.abc import AsyncGenerator, Collection
from contextlib import aclosing

from nats.aio.client import Client
from nats.aio.msg import Msg

from wepeople_chassis.broker import BROKER_DOWN
from wepeople_chassis.history import known_history
from wepeople_chassis.logging import get_logger
from wepeople_chassis.stream import (
    Batch,
    StoredMessage,
    StreamError,
    StreamMoved,
    StreamState,
    check_position,
    create_consumer,
    delete_consumer,
    jetstream,
    quietly,
    state_of,
)
from wepeople_chassis.tracing import TRACEPARENT
from wepeople_contracts.envelope import MSG_ID_HEADER
from wepeople_contracts.subjects import partitions_in

log = get_logger(__name__)

PULL_MESSAGES = 512
PULL_BYTES = 24 * 1024 * 1024
PULL_SECONDS = 1.0
LOOK_SECONDS = 1.0
"""So often a reader that is never idle looks whether the stream still takes what it reads."""
_BEGINS_SECONDS = 10.0
"""Who trims looks who reads, and purges at once: only a consumer younger than this may have been overlooked."""
_GRACE_SECONDS = 1.0
_RETRY_SECONDS = 0.25
_CONSUMER_NOT_FOUND = 10014


class StreamReader:
    """Delivers every message of a stream that matches a filter, after a given sequence, in order and exactly once.

    Survives restarts of the server. What was trimmed from the stream comes from the archive (`history.py`);
    `StreamError` when there is none that has it, or when the stream has lost messages or is not the stream of
    `identity` (`StreamState.identity`); `StreamMoved` soon after it has ceased to take one of the filter's
    partitions. Until then a reader of several is given what those have that stayed: of a partition that left, only its
    own messages say how far it was read, and not `Batch.through`.

    `partitions` are those that the reader is there for, by default all of the filter's: a stream that takes some of the
    filter's only may still have old messages of the others, which are delivered too.

    With `headers_only` the messages have their ids but no data. `pull_bytes` are asked for at a time, more only where
    one message has more; so much waits in memory.
    """

    def __init__(
        self,
        connection: Client,
        *,
        stream: str,
        filter_subject: str,
        after: int,
        identity: str | None = None,
        headers_only: bool = False,
        pull_bytes: int = PULL_BYTES,
        partitions: Collection[int] | None = None,
    ) -> None:
        self._connection = connection
        self._stream = stream
        self._filter = filter_subject
        self._partitions = partitions_in([filter_subject]) if partitions is None else frozenset(partitions)
        self._position = after
        self._identity = identity
        self._headers_only = headers_only
        self._pull_bytes = pull_bytes
        self._arrived: deque[Msg] = deque()
        self._wake = asyncio.Event()

    async def batches(self) -> AsyncGenerator[Batch]:
        """Yield batches for ever; an empty one at least once a second or two when there is nothing new."""
        while True:
            try:
                async with aclosing(self._from_here()) as batches:
                    async for batch in batches:
                        yield batch
            except BROKER_DOWN as error:
                if self._connection.is_closed:
                    raise
                log.warning("stream_reader_waits", filter=self._filter, after=self._position, error=repr(error))
            await asyncio.sleep(_RETRY_SECONDS)

    async def _from_here(self) -> AsyncGenerator[Batch]:
        """Read on where the next message is: in the archive what was trimmed, which may take so long that more of the
        stream is trimmed meanwhile; else in the stream.
        """
        state = await self._look()
        check_position(state, after=self._position, identity=self._identity)
        self._identity = state.identity
        is_trimmed = state.first_sequence > self._position + 1
        source = self._trimmed(state) if is_trimmed else self._one_consumer(state.last_sequence)
        async with aclosing(source) as batches:
            async for batch in batches:
                self._position = batch.through
                yield batch

    async def _one_consumer(self, known_end: int) -> AsyncGenerator[Batch]:
        """Read through one server-side consumer until something about it is not as expected."""
        clock = asyncio.get_running_loop().time
        began = looked_at = clock()
        start = {
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": self._position + 1,
            "headers_only": self._headers_only,
        }
        consumer = (await create_consumer(self._connection, self._stream, start, self._filter))["name"]
        inbox = self._connection.new_inbox()
        self._arrived.clear()
        subscription = await self._connection.subscribe(
            inbox, cb=self._on_message, pending_msgs_limit=4 * PULL_MESSAGES, pending_bytes_limit=4 * PULL_BYTES
        )
        try:
            delivered, pull_bytes = 0, self._pull_bytes
            while True:
                if clock() > looked_at + LOOK_SECONDS:
                    # Before anything more is asked for: of what a partition had that left, nothing may be left.
                    known_end, looked_at = (await self._look()).last_sequence, clock()
                await self._pull(consumer, inbox, pull_bytes)
                pull_bytes = self._pull_bytes
                finished, received = False, 0
                while not finished and received < PULL_MESSAGES:
                    messages, finished = await self._next()
                    if messages is None or await self._is_overtaken(messages, clock() - began):
                        return
                    for message, consumer_sequence, left in messages:
                        if consumer_sequence != delivered + 1:
                            log.warning("stream_reader_gap", filter=self._filter, after=self._position)
                            return
                        delivered, pending = consumer_sequence, left
                        self._position = message.sequence
                    received += len(messages)
                    if messages:
                        yield Batch([m for m, _, _ in messages], self._position, pending)
                if received == 0:
                    left_behind = await self._pending(consumer, delivered)
                    state = await self._look()
                    if left_behind is None or state.first_sequence > self._position + 1:
                        return
                    if left_behind:
                        # The next message may be larger than what was asked for.
                        pull_bytes = PULL_BYTES
                    else:
                        # The end was read before the consumer said that nothing is left, and nothing was purged since:
                        # all up to it was delivered.
                        self._position = max(self._position, known_end)
                    known_end, looked_at = state.last_sequence, clock()
                    yield Batch([], self._position, left_behind)
        finally:
            await quietly(subscription.unsubscribe())
            await delete_consumer(self._connection, self._stream, consumer)

    async def _is_overtaken(self, messages: list[tuple[StoredMessage, int, int]], consumer_seconds: float) -> bool:
        """Whether some before these may have been trimmed just now: the consumer would not say so."""
        begins = self._position + 1
        if not messages or messages[0][0].sequence == begins or consumer_seconds > _BEGINS_SECONDS:
            return False
        return (await self._look()).first_sequence > begins

    def _trimmed(self, state: StreamState) -> AsyncGenerator[Batch]:
        """What comes next and left the stream."""
        history = known_history()
        if history is None:
            raise StreamError(
                f"the stream {state.name} begins at {state.first_sequence}, but {self._position + 1} comes next: the "
                "messages between were trimmed. Set WEPEOPLE_ARCHIVE_URL to where they are archived"
            )
        return history.batches(
            identity=state.identity,
            partitions=self._partitions,
            filter_subject=self._filter,
            after=self._position,
            before=state.first_sequence,
        )

    async def _look(self) -> StreamState:
        """How the stream stands; `StreamMoved` when it is the wrong one by now: its end is another numbering's then."""
        state = await state_of(self._connection, self._stream)
        if left := self._partitions - state.partitions:
            raise StreamMoved(self._stream, left)
        return state

    async def _pending(self, consumer: str, delivered: int) -> int | None:
        """How many messages the consumer still holds back; None when it is gone, or sent some that never arrived.

        An expired pull alone does not prove that there was nothing: a server that stalls expires it all the same.
        """
        try:
            info = await jetstream(self._connection, f"CONSUMER.INFO.{self._stream}.{consumer}", {})
        except StreamError as error:
            if error.err_code == _CONSUMER_NOT_FOUND:
                return None
            raise
        pending: int = info["num_pending"]
        return pending if info["delivered"]["consumer_seq"] == delivered else None

    async def _pull(self, consumer: str, inbox: str, pull_bytes: int) -> None:
        request = {"batch": PULL_MESSAGES, "max_bytes": pull_bytes, "expires": int(PULL_SECONDS * 1e9)}
        await self._connection.publish(
            f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{consumer}", json.dumps(request).encode(), reply=inbox
        )

    async def _on_message(self, message: Msg) -> None:
        self._arrived.append(message)
        self._wake.set()

    async def _next(self) -> tuple[list[tuple[StoredMessage, int, int]] | None, bool]:
        """What arrives next, and whether the pull is over; None for the messages when the consumer is gone, or not even
        the pull's expiry was announced.
        """
        if not self._arrived:
            self._wake.clear()
            try:
                await asyncio.wait_for(self._wake.wait(), PULL_SECONDS + _GRACE_SECONDS)
            except TimeoutError:
                return None, True
        taken: list[tuple[StoredMessage, int, int]] = []
        while self._arrived:
            message = self._arrived.popleft()
            status = (message.headers or {}).get("Status")
            if status is None:
                taken.append(_stored(message))
            elif status == "409" and "Batch Completed" in _description(message):
                # The messages were counted; the notice may be late, and then belongs to the pull before this one.
                continue
            elif status in ("404", "408") or (status == "409" and "MaxBytes" in _description(message)):
                return taken, True
            else:
                log.warning("stream_reader_status", filter=self._filter, status=status, text=_description(message))
                return (taken, True) if taken else (None, True)
        return taken, False


def _description(message: Msg) -> str:
    return (message.headers or {}).get("Description") or ""


def _stored(message: Msg) -> tuple[StoredMessage, int, int]:
    # $JS.ACK.<stream>.<consumer>.<deliveries>.<stream seq>.<consumer seq>.<ns>.<pending>, with two tokens more
    # (domain, account hash) and one at the end since ADR-15; counted so that both forms fit.
    tokens = message.reply.split(".")
    if len(tokens) >= 11:  # noqa: PLR2004
        tokens = tokens[2:]
    headers = message.headers or {}
    stored = StoredMessage(
        sequence=int(tokens[5]),
        subject=message.subject,
        message_id=headers.get(MSG_ID_HEADER, ""),
        stored_at_ns=int(tokens[7]),
        data=message.data,
        traceparent=headers.get(TRACEPARENT),
    )
    return stored, int(tokens[6]), int(tokens[8])
