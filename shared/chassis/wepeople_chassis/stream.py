"""What the stream holds, and the few calls of JetStream's API that its readers make.

Spoken to directly, by `$JS.API` subjects, because nats-py's own calls hide what a reader must know.
"""

import json
import secrets
from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from nats.aio.client import Client

from wepeople_chassis.broker import BROKER_DOWN
from wepeople_contracts.subjects import STREAM, STREAM_SUBJECTS

_API_SECONDS = 2.0
_LAST_MOMENT_NS = 2**63 - 1
"""In 2262; the server takes a later moment for one long ago."""


class StreamError(Exception):
    """The stream cannot be read on from where the reader stopped: an operator must decide.

    `err_code` is the server's own number for the error, where it was the server that refused.
    """

    def __init__(self, message: str, err_code: int | None = None) -> None:
        super().__init__(message)
        self.err_code = err_code


@dataclass(frozen=True, slots=True)
class StreamState:
    """What the stream holds now; `created` is its identity: a stream made anew has another. For so long as
    `duplicate_window_seconds` the same message id is the same message. Past `limit_bytes` nothing more is stored.
    Of `copies_wanted` copies in the cluster, `copies` are whole.
    """

    created: str
    first_sequence: int
    last_sequence: int
    messages: int
    size_bytes: int
    duplicate_window_seconds: float
    limit_bytes: int | None
    copies: int
    copies_wanted: int


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


async def stream_state(connection: Client) -> StreamState:
    """Ask the server for the stream's state; `StreamError` if there is no such stream."""
    reply = await jetstream(connection, f"STREAM.INFO.{STREAM}", {})
    state = reply["state"]
    others = reply.get("cluster", {}).get("replicas", [])
    return StreamState(
        created=reply["created"],
        first_sequence=state["first_seq"],
        last_sequence=state["last_seq"],
        messages=state["messages"],
        size_bytes=state["bytes"],
        duplicate_window_seconds=reply["config"]["duplicate_window"] / 1_000_000_000,
        limit_bytes=limit if (limit := reply["config"].get("max_bytes", -1)) > 0 else None,
        copies=1 + sum(1 for other in others if other["current"] and not other.get("offline")),
        copies_wanted=reply["config"]["num_replicas"],
    )


async def sequence_since(connection: Client, stored_at_ns: int) -> int:
    """The first sequence stored at or after a moment, nanoseconds since 1970; the next to come if there is none."""
    seconds, nanoseconds = divmod(min(max(stored_at_ns, 0), _LAST_MOMENT_NS), 1_000_000_000)
    moment = f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{nanoseconds:09}Z"
    info = await create_consumer(connection, {"deliver_policy": "by_start_time", "opt_start_time": moment})
    await delete_consumer(connection, info["name"])
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


async def create_consumer(
    connection: Client, start: dict[str, Any], filter_subject: str = STREAM_SUBJECTS
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
    request = {"stream_name": STREAM, "config": config | start, "action": "create"}
    return await jetstream(connection, f"CONSUMER.CREATE.{STREAM}.{name}.{filter_subject}", request)


async def delete_consumer(connection: Client, name: str) -> None:
    """Let a consumer go."""
    # Without waiting for an answer, which would hold up the next consumer; a lost one expires by itself.
    await quietly(connection.publish(f"$JS.API.CONSUMER.DELETE.{STREAM}.{name}"))


async def jetstream(connection: Client, name: str, body: dict[str, Any]) -> dict[str, Any]:
    """One call of the API; `StreamError` with what the server refused, `TimeoutError` while it is starting."""
    message = await connection.request(f"$JS.API.{name}", json.dumps(body).encode(), timeout=_API_SECONDS)
    reply: dict[str, Any] = json.loads(message.data)
    if error := reply.get("error"):
        # 503: JetStream is starting; anything else will not mend itself by waiting.
        if error.get("code") == 503:  # noqa: PLR2004
            raise TimeoutError(error["description"])
        raise StreamError(f"{name}: {error.get('description')} ({error.get('err_code')})", error.get("err_code"))
    return reply


async def quietly(awaitable: Awaitable[Any]) -> None:
    """Await what may fail because the server is gone, and makes no difference then."""
    try:
        await awaitable
    except BROKER_DOWN:
        return
