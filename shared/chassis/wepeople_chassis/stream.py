"""What the streams hold, and the few calls of JetStream's API that their readers make.

Each partition's whole history is in one stream, and nobody is told in which: the server is asked who takes its
subjects. A (partition, sequence) is the same message for ever, also after its stream was split; sequences of partitions
that are in different streams have nothing to do with each other.

Spoken to directly, by `$JS.API` subjects, because nats-py's own calls hide what a reader must know.
"""

import asyncio
import json
import secrets
from collections.abc import Awaitable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from nats.aio.client import Client

from wepeople_chassis.broker import BROKER_DOWN
from wepeople_contracts.subjects import (
    PARTITIONS,
    STREAM_SUBJECTS,
    STREAMS,
    partition_filter,
    partitions_in,
    split_subject,
)

IDENTITY = "wepeople-history"
"""Under this name a stream's metadata has the identity of the stream from which it was split, if it was."""
BEGINS = "wepeople-begins"
"""Under this name it has `E/F`: between the sequences E and F nothing ever was of the stream's own partitions. Others'
messages took those sequences before the split, and are not there."""
EARLIER_IDS = "wepeople-earlier-ids"
"""Under this name it has where message ids of before its split are known, and until when that matters: `INGEST_8@NS`,
with commas between, NS in nanoseconds since 1970. It does not know them itself: a mirror in a cluster keeps no ids."""

_API_SECONDS = 2.0
_SPLIT_SECONDS = 1.0
_LOOK_SECONDS = 0.02
_LAST_MOMENT_NS = 2**63 - 1
"""In 2262; the server takes a later moment for one long ago."""
_NO_STREAM = 10059
_OFFLINE = (10118, 10119)
"""A stream or a consumer, of which the only copy is on a server that died."""


class StreamError(Exception):
    """The stream cannot be read on from where the reader stopped: an operator must decide.

    `err_code` is the server's own number for the error, where it was the server that refused.
    """

    def __init__(self, message: str, err_code: int | None = None) -> None:
        super().__init__(message)
        self.err_code = err_code


class StreamMoved(StreamError):
    """The stream does not take all that is read any more: whoever reads goes on in the stream that takes it, after the
    last message that came of it. The whole history of a partition goes with it.
    """

    def __init__(self, name: str, partitions: Iterable[int]) -> None:
        left = ", ".join(map(str, sorted(partitions)))
        super().__init__(f"the stream {name} does not take partition {left} any more")


class NobodyTakes(TimeoutError):
    """No stream takes a partition: for the moment in which one is split, or for longer where that was broken off."""

    def __init__(self, partitions: Iterable[int]) -> None:
        super().__init__(
            f"no stream takes partition {', '.join(map(str, sorted(partitions)))} now; if that lasts, a split was "
            "broken off: `wepeople stream split` ends it"
        )


@dataclass(frozen=True, slots=True)
class EarlierIds:
    """Where to ask, until `until_ns` (since 1970), for a message id of before a stream was split from another:
    `subject` is one of that other stream's.
    """

    subject: str
    until_ns: int


@dataclass(frozen=True, slots=True)
class StreamState:
    """What a stream holds now, and whose messages it takes. A stream made anew has another `identity`; one that was
    split from another keeps that one's. For so long as `duplicate_window_seconds` the same message id is the same
    message. Past `limit_bytes` nothing more is stored. Of `copies_wanted` copies in the cluster, `copies` are whole.
    """

    name: str
    partitions: frozenset[int]
    identity: str
    first_sequence: int
    last_sequence: int
    messages: int
    size_bytes: int
    duplicate_window_seconds: float
    limit_bytes: int | None
    copies: int
    copies_wanted: int
    earlier_ids: tuple[EarlierIds, ...] = ()


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """One message of the stream; `stored_at_ns` is the server's clock, nanoseconds since 1970. `traceparent` is that of
    the span that published it, if there was one.
    """

    sequence: int
    subject: str
    message_id: str
    stored_at_ns: int
    data: bytes
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """Messages in order. Everything of the filter up to and including `through` has been delivered by now, so an idle
    partition's checkpoint can move to it; `pending` messages were left in the stream when the last one was sent.
    """

    messages: list[StoredMessage]
    through: int
    pending: int


async def stream_states(connection: Client) -> list[StreamState]:
    """All streams, in the order of their first partition; `StreamError` if there are none.

    A mirror that is about to become one takes nothing yet and is not among them. Where a partition is missing, nobody
    takes it now: for the moment in which a stream is split that is waited for.
    """
    until = asyncio.get_running_loop().time() + _SPLIT_SECONDS
    while True:
        names = await _names(connection, STREAM_SUBJECTS)
        if not names:
            raise StreamError("there is no stream; run `wepeople provision` first", _NO_STREAM)
        states = [await state_of(connection, name) for name in names]
        taken = [partition for state in states for partition in state.partitions]
        if len(taken) == len(set(taken)) == PARTITIONS or asyncio.get_running_loop().time() >= until:
            return sorted((state for state in states if state.partitions), key=lambda state: min(state.partitions))
        await asyncio.sleep(_LOOK_SECONDS)


async def takers(connection: Client) -> dict[int, StreamState]:
    """Which stream takes each partition; `NobodyTakes` while nobody takes one of them, `StreamError` if there is no
    stream.
    """
    found = {partition: state for state in await stream_states(connection) for partition in state.partitions}
    if missing := sorted(set(range(PARTITIONS)) - found.keys()):
        raise NobodyTakes(missing)
    return found


async def taking_streams(connection: Client) -> list[StreamState]:
    """The streams that `takers` tells, each once, in the order of their first partition."""
    return list({state.name: state for state in (await takers(connection)).values()}.values())


async def stream_of(connection: Client, partition: int) -> StreamState:
    """The stream that takes a partition. `StreamError` if there is no stream, `NobodyTakes` while none takes it, as in
    the moment in which one is split.
    """
    for name in await _names(connection, partition_filter(partition)):
        state = await state_of(connection, name)
        if partition in state.partitions:
            return state
    if await _names(connection, STREAM_SUBJECTS):
        raise NobodyTakes([partition])
    raise StreamError("there is no stream; run `wepeople provision` first", _NO_STREAM)


async def state_of(connection: Client, name: str) -> StreamState:
    """A stream's state; `StreamError` if there is no such stream."""
    return _state(await jetstream(connection, f"STREAM.INFO.{name}", {}))


def _state(info: Mapping[str, Any]) -> StreamState:
    config, state = info["config"], info["state"]
    others = info.get("cluster", {}).get("replicas") or []
    return StreamState(
        name=config["name"],
        partitions=partitions_in(config.get("subjects") or []),
        identity=(config.get("metadata") or {}).get(IDENTITY) or info["created"],
        first_sequence=first_sequence(info),
        last_sequence=state["last_seq"],
        messages=state["messages"],
        size_bytes=state["bytes"],
        duplicate_window_seconds=config["duplicate_window"] / 1_000_000_000,
        limit_bytes=limit if (limit := config.get("max_bytes", -1)) > 0 else None,
        copies=1 + sum(1 for other in others if other["current"] and not other.get("offline")),
        copies_wanted=config["num_replicas"],
        earlier_ids=earlier_ids(info),
    )


def first_sequence(info: Mapping[str, Any]) -> int:
    """From where on a stream that the server describes so has all messages of its partitions."""
    first: int = info["state"]["first_seq"]
    begins, _, until = ((info["config"].get("metadata") or {}).get(BEGINS) or "").partition("/")
    return int(begins) if until and first <= int(until) else first


def earlier_ids(info: Mapping[str, Any]) -> tuple[EarlierIds, ...]:
    """Of a stream that the server describes so; those of which the time is over are among them."""
    said: str = (info["config"].get("metadata") or {}).get(EARLIER_IDS) or ""
    entries = (entry.partition("@") for entry in said.split(",") if entry)
    return tuple(EarlierIds(split_subject(name), int(until)) for name, _, until in entries)


async def _names(connection: Client, subject: str) -> list[str]:
    """The streams that take some of these subjects."""
    reply = await jetstream(connection, "STREAM.NAMES", {"subject": subject})
    return [name for name in reply["streams"] or [] if name in STREAMS]


async def sequence_since(connection: Client, stream_name: str, stored_at_ns: int) -> int:
    """The first sequence that a stream stored at or after a moment, nanoseconds since 1970; the next to come if there
    is none.
    """
    seconds, nanoseconds = divmod(min(max(stored_at_ns, 0), _LAST_MOMENT_NS), 1_000_000_000)
    moment = f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{nanoseconds:09}Z"
    start = {"deliver_policy": "by_start_time", "opt_start_time": moment}
    info = await create_consumer(connection, stream_name, start)
    await delete_consumer(connection, stream_name, info["name"])
    sequence: int = info["delivered"]["stream_seq"]
    return sequence + 1


def check_position(state: StreamState, *, after: int, identity: str | None) -> None:
    """`StreamError` unless a stream in this state is the one called `identity`, and has not lost what was read of it.

    That it begins later is no error: what was trimmed is in the archive, where the reader looks.
    """
    if identity is not None and state.identity != identity:
        raise StreamError(
            f"the stream {state.name} is of {state.identity}, the checkpoint belongs to one of {identity}: "
            "restore the old stream, or rebuild from this one what was built from the old"
        )
    if state.last_sequence < after:
        raise StreamError(
            f"the stream {state.name} ends at {state.last_sequence}, before the checkpoint {after}: "
            "it lost messages that were applied; restore it from a backup"
        )


async def create_consumer(
    connection: Client, stream_name: str, start: dict[str, Any], filter_subject: str = STREAM_SUBJECTS
) -> dict[str, Any]:
    """Make an ephemeral pull consumer without acks, begun as `start` says; the server's description of it."""
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
    request = {"stream_name": stream_name, "config": config | start, "action": "create"}
    return await jetstream(connection, f"CONSUMER.CREATE.{stream_name}.{name}.{filter_subject}", request)


async def delete_consumer(connection: Client, stream_name: str, name: str) -> None:
    """Let a consumer go."""
    # Without waiting for an answer, which would hold up the next consumer; a lost one expires by itself.
    await quietly(connection.publish(f"$JS.API.CONSUMER.DELETE.{stream_name}.{name}"))


async def jetstream(connection: Client, name: str, body: dict[str, Any]) -> dict[str, Any]:
    """One call of the API; `StreamError` with what the server refused, `TimeoutError` while it is starting, or while
    the server of a cluster that has what is asked for is away.
    """
    message = await connection.request(f"$JS.API.{name}", json.dumps(body).encode(), timeout=_API_SECONDS)
    reply: dict[str, Any] = json.loads(message.data)
    if error := reply.get("error"):
        # 503: JetStream is starting; anything else but what is offline will not mend itself by waiting.
        if error.get("code") == 503 or error.get("err_code") in _OFFLINE:  # noqa: PLR2004
            raise TimeoutError(error["description"])
        raise StreamError(f"{name}: {error.get('description')} ({error.get('err_code')})", error.get("err_code"))
    return reply


async def quietly(awaitable: Awaitable[Any]) -> None:
    """Await what may fail because the server is gone, and makes no difference then."""
    try:
        await awaitable
    except BROKER_DOWN:
        return
