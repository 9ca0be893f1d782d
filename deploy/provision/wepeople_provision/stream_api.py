"""The calls of JetStream's API that the provisioner makes, spoken to directly: nats-py's own hide what it must know."""

import asyncio
import json
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from nats.aio.client import Client

from wepeople_contracts.subjects import STREAMS
from wepeople_provision.errors import ProvisionError

_API_SECONDS = 10.0
_NOT_FOUND = 10059
_OF_THE_SERVER = "_nats."
"""So begins what the server itself writes into a stream's metadata."""


class Refused(ProvisionError):
    """JetStream would not do what it was asked."""

    def __init__(self, call: str, stream: str, description: str) -> None:
        verb = call.removeprefix("STREAM.").lower().replace(".", " ")
        super().__init__(f"NATS refused to {verb} the stream {stream.partition('.')[0]}: {description}.")


async def ask(connection: Client, call: str, stream: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """One call about a stream; `Refused` with the server's reason."""
    reply = await ask_or_none(connection, call, stream, body)
    if reply is None:
        raise Refused(call, stream, "there is no such stream")
    return reply


async def ask_or_none(
    connection: Client, call: str, stream: str, body: dict[str, Any] | None = None
) -> dict[str, Any] | None:
    """The same, and None when there is no such stream."""
    payload = b"" if body is None else json.dumps(body).encode()
    message = await connection.request(f"$JS.API.{call}.{stream}", payload, timeout=_API_SECONDS)
    reply: dict[str, Any] = json.loads(message.data)
    error = reply.get("error")
    if error is None:
        return reply
    if error.get("err_code") == _NOT_FOUND:
        return None
    raise Refused(call, stream, error.get("description"))


async def streams_there(connection: Client) -> dict[str, dict[str, Any]]:
    """What the server says of each of our streams, by name; mirrors that are to become one are among them."""
    found = await asyncio.gather(*(ask_or_none(connection, "STREAM.INFO", name) for name in STREAMS))
    return {name: info for name, info in zip(STREAMS, found, strict=True) if info is not None}


def own_metadata(config: Mapping[str, Any]) -> dict[str, str]:
    """A stream's metadata without the server's own."""
    metadata: dict[str, str] = config.get("metadata") or {}
    return {name: value for name, value in metadata.items() if not name.startswith(_OF_THE_SERVER)}


async def count_of(connection: Client, stream: str, filters: Sequence[str]) -> int:
    """How many messages of a stream match one of the filters, which do not overlap; the server counts."""
    name = f"count-{secrets.token_hex(8)}"
    config = {
        "name": name,
        "filter_subjects": list(filters),
        "ack_policy": "none",
        "mem_storage": True,
        "num_replicas": 1,
        "inactive_threshold": 5_000_000_000,
    }
    request = {"stream_name": stream, "config": config, "action": "create"}
    made = await ask(connection, "CONSUMER.CREATE", f"{stream}.{name}", request)
    await connection.publish(f"$JS.API.CONSUMER.DELETE.{stream}.{name}")
    count: int = made["num_pending"]
    return count
