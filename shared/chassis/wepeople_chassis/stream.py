"""Reading the stream in order, without gaps, from any sequence.

A pull consumer asked by `CONSUMER.MSG.NEXT` with a byte limit. Never a push or ordered consumer: nats-py drops
messages silently at its pending limit, and as a filtered stream's sequences have natural gaps nobody would notice.
The *consumer* sequence has none, so it is what proves that nothing is missing (design §4, Reading).
"""

import asyncio
import json
import secrets
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg

from wepeople_chassis.broker import BROKER_DOWN
from wepeople_chassis.logging import get_logger
from wepeople_contracts.envelope import MSG_ID_HEADER
from wepeople_contracts.subjects import STREAM, STREAM_SUBJECTS

log = get_logger(__name__)

PULL_MESSAGES = 512
PULL_BYTES = 24 * 1024 * 1024
PULL_SECONDS = 1.0
_GRACE_SECONDS = 1.0
_API_SECONDS = 2.0
_RETRY_SECONDS = 0.25
_CONSUMER_NOT_FOUND = 10014


class StreamError(Exception):
    """The stream cannot be read on from where the reader stopped: an operator must decide.

    `err_code` is the server's own number for the error, where it was the server that refused.
    """

    def __init__(self, message: str, err_code: int | None = None) -> None:
        super().__init__(message)
        self.err_code = err_code


@dataclass(frozen=True, slots=True)
class StreamState:
    """What the stream holds now; `created` is its identity: a stream made anew has another."""

    created: str
    first_sequence: int
    last_sequence: int
    messages: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """One message of the stream; `stored_at_ns` is the server's clock, nanoseconds since 1970."""

    sequence: int
    subject: str
    message_id: str
    stored_at_ns: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Batch:
    """Messages in order. Everything of the filter up to and including `through` has been delivered by now, so an idle
    partition's checkpoint can move to it; `pending` messages were left in the stream when the last one was sent.
    """

    messages: list[StoredMessage]
    through: int
    pending: int


async def stream_state(connection: Client) -> StreamState:
    """Ask the server for the stream's state; `StreamError` if there is no such stream."""
    reply = await _api(connection, f"STREAM.INFO.{STREAM}", {})
    state = reply["state"]
    return StreamState(
        created=reply["created"],
        first_sequence=state["first_seq"],
        last_sequence=state["last_seq"],
        messages=state["messages"],
        size_bytes=state["bytes"],
    )


async def sequence_since(connection: Client, stored_at_ns: int) -> int:
    """The first sequence stored at or after a moment, nanoseconds since 1970; the next to come if there is none."""
    moment = datetime.fromtimestamp(stored_at_ns // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    info = await _create_consumer(connection, {"deliver_policy": "by_start_time", "opt_start_time": moment})
    await _delete_consumer(connection, info["name"])
    sequence: int = info["delivered"]["stream_seq"]
    return sequence + 1


def check_position(state: StreamState, *, after: int, identity: str | None) -> None:
    """`StreamError` unless a stream in this state can be read on after a sequence of the stream called `identity`."""
    if identity is not None and state.created != identity:
        raise StreamError(
            f"the stream {STREAM} is of {state.created}, the checkpoint belongs to one of {identity}: "
            "restore the old stream, or rebuild from this one what was built from the old"
        )
    if state.first_sequence > after + 1:
        raise StreamError(
            f"the stream {STREAM} begins at {state.first_sequence}, but {after + 1} comes next: "
            "the messages between were trimmed; restore them from the archive or rebuild"
        )
    if state.last_sequence < after:
        raise StreamError(
            f"the stream {STREAM} ends at {state.last_sequence}, before the checkpoint {after}: "
            "it lost messages that were applied; restore it from a backup"
        )


async def _create_consumer(
    connection: Client, start: dict[str, Any], filter_subject: str = STREAM_SUBJECTS
) -> dict[str, Any]:
    name = f"read-{secrets.token_hex(8)}"
    config = {
        "name": name,
        "filter_subject": filter_subject,
        "ack_policy": "none",
        "replay_policy": "instant",
        "inactive_threshold": 30_000_000_000,
        "mem_storage": True,
        "num_replicas": 1,
    }
    request = {"stream_name": STREAM, "config": config | start, "action": "create"}
    return await _api(connection, f"CONSUMER.CREATE.{STREAM}.{name}.{filter_subject}", request)


async def _delete_consumer(connection: Client, name: str) -> None:
    # Without waiting for an answer, which would hold up the next consumer; a lost one expires by itself.
    await _quietly(connection.publish(f"$JS.API.CONSUMER.DELETE.{STREAM}.{name}"))


async def _api(connection: Client, name: str, body: dict[str, Any]) -> dict[str, Any]:
    message = await connection.request(f"$JS.API.{name}", json.dumps(body).encode(), timeout=_API_SECONDS)
    reply: dict[str, Any] = json.loads(message.data)
    if error := reply.get("error"):
        # 503: JetStream is starting; anything else will not mend itself by waiting.
        if error.get("code") == 503:  # noqa: PLR2004
            raise TimeoutError(error["description"])
        raise StreamError(f"{name}: {error.get('description')} ({error.get('err_code')})", error.get("err_code"))
    return reply


class StreamReader:
    """Delivers every message that matches a filter, after a given sequence, in order and exactly once.

    Survives restarts of the server; `StreamError` when the stream has lost the messages that come next, or is not the
    stream of `identity` (`StreamState.created`). With `headers_only` the messages have their ids but no data.
    """

    def __init__(
        self,
        connection: Client,
        *,
        filter_subject: str,
        after: int,
        identity: str | None = None,
        headers_only: bool = False,
    ) -> None:
        self._connection = connection
        self._filter = filter_subject
        self._position = after
        self._identity = identity
        self._headers_only = headers_only
        self._arrived: deque[Msg] = deque()
        self._wake = asyncio.Event()

    async def batches(self) -> AsyncGenerator[Batch]:
        """Yield batches for ever; an empty one at least once a second or two when there is nothing new."""
        while True:
            try:
                async with aclosing(self._one_consumer()) as batches:
                    async for batch in batches:
                        yield batch
            except BROKER_DOWN as error:
                if self._connection.is_closed:
                    raise
                log.warning("stream_reader_waits", filter=self._filter, after=self._position, error=repr(error))
            await asyncio.sleep(_RETRY_SECONDS)

    async def _one_consumer(self) -> AsyncGenerator[Batch]:
        """Read through one server-side consumer until something about it is not as expected."""
        state = await stream_state(self._connection)
        check_position(state, after=self._position, identity=self._identity)
        self._identity, known_end = state.created, state.last_sequence
        start = {
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": self._position + 1,
            "headers_only": self._headers_only,
        }
        consumer = (await _create_consumer(self._connection, start, self._filter))["name"]
        inbox = self._connection.new_inbox()
        self._arrived.clear()
        subscription = await self._connection.subscribe(
            inbox, cb=self._on_message, pending_msgs_limit=4 * PULL_MESSAGES, pending_bytes_limit=4 * PULL_BYTES
        )
        try:
            delivered = 0
            while True:
                await self._pull(consumer, inbox)
                finished, received = False, 0
                while not finished and received < PULL_MESSAGES:
                    if not await self._something_arrived():
                        return
                    messages, finished = self._take()
                    if messages is None:
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
                    if left_behind is None:
                        return
                    if left_behind == 0:
                        # The end was read before the consumer said that nothing is left: all up to it was delivered.
                        self._position = max(self._position, known_end)
                    yield Batch([], self._position, left_behind)
                    known_end = (await stream_state(self._connection)).last_sequence
        finally:
            await _quietly(subscription.unsubscribe())
            await _delete_consumer(self._connection, consumer)

    async def _pending(self, consumer: str, delivered: int) -> int | None:
        """How many messages the consumer still holds back; None when it is gone, or sent some that never arrived.

        An expired pull alone does not prove that there was nothing: a server that stalls expires it all the same.
        """
        try:
            info = await _api(self._connection, f"CONSUMER.INFO.{STREAM}.{consumer}", {})
        except StreamError as error:
            if error.err_code == _CONSUMER_NOT_FOUND:
                return None
            raise
        pending: int = info["num_pending"]
        return pending if info["delivered"]["consumer_seq"] == delivered else None

    async def _pull(self, consumer: str, inbox: str) -> None:
        request = {"batch": PULL_MESSAGES, "max_bytes": PULL_BYTES, "expires": int(PULL_SECONDS * 1e9)}
        await self._connection.publish(
            f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{consumer}", json.dumps(request).encode(), reply=inbox
        )

    async def _on_message(self, message: Msg) -> None:
        self._arrived.append(message)
        self._wake.set()

    async def _something_arrived(self) -> bool:
        """Wait for a message or a status; False when not even the pull's expiry was announced."""
        if not self._arrived:
            self._wake.clear()
            try:
                await asyncio.wait_for(self._wake.wait(), PULL_SECONDS + _GRACE_SECONDS)
            except TimeoutError:
                return False
        return True

    def _take(self) -> tuple[list[tuple[StoredMessage, int, int]] | None, bool]:
        """What has arrived, and whether the pull is over; None for the messages when the consumer is gone."""
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
    stored = StoredMessage(
        sequence=int(tokens[5]),
        subject=message.subject,
        message_id=(message.headers or {}).get(MSG_ID_HEADER, ""),
        stored_at_ns=int(tokens[7]),
        data=message.data,
    )
    return stored, int(tokens[6]), int(tokens[8])


async def _quietly(awaitable: Any) -> None:
    try:
        await awaitable
    except BROKER_DOWN:
        return
