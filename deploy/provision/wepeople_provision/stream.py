"""The stream INGEST and the bucket of quota's lease: made once, settings kept right, messages never touched."""

import json
from dataclasses import dataclass, field
from typing import Any

from nats.aio.client import Client

from wepeople_contracts.subjects import LEASE_BUCKET, LEASE_STREAM, STREAM, STREAM_SUBJECTS
from wepeople_provision.errors import ProvisionError

MAX_MESSAGE_BYTES = 12 * 1024 * 1024
DUPLICATE_WINDOW_NANOSECONDS = 600 * 1_000_000_000
_API_SECONDS = 10.0
_NOT_FOUND = 10059

SETTINGS: dict[str, Any] = {
    "name": STREAM,
    "subjects": [STREAM_SUBJECTS],
    "storage": "file",
    "retention": "limits",
    "discard": "new",
    "duplicate_window": DUPLICATE_WINDOW_NANOSECONDS,
    "max_msg_size": MAX_MESSAGE_BYTES,
    "max_msgs": -1,
    "max_bytes": -1,
    "max_age": 0,
    "max_msgs_per_subject": -1,
    "deny_delete": False,
    "deny_purge": False,
    "allow_direct": False,
}
"""What holds for every deployment; no limit among them deletes a message."""

BUCKET_SETTINGS: dict[str, Any] = {
    "name": LEASE_STREAM,
    "subjects": [f"$KV.{LEASE_BUCKET}.>"],
    "storage": "file",
    "retention": "limits",
    "discard": "new",
    "max_msgs_per_subject": 1,
    "max_age": 0,
    "deny_delete": True,
    "allow_rollup_hdrs": True,
    "allow_direct": False,
}
"""A key-value bucket is a stream with these settings. Nothing in it ever expires: the lease is what its holder says."""

NUMBER_OF_REPLICAS = 1
"""For a new stream only: how many copies a running one has is its operator's decision, and the bucket has as many."""

FIXED = frozenset({"storage", "retention", "deny_delete", "deny_purge"})
"""What the server does not let a stream change, at least in one direction."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A setting that is not what it should be."""

    name: str
    found: Any
    wanted: Any

    def __str__(self) -> str:
        return f"{self.name} {json.dumps(self.found)} -> {json.dumps(self.wanted)}"


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """What to do: `create` the stream, or send `update` (a whole configuration), or nothing when both are empty."""

    create: dict[str, Any] | None = None
    update: dict[str, Any] | None = None
    differences: list[Difference] = field(default_factory=list)


def plan_stream(existing: dict[str, Any] | None, settings: dict[str, Any] = SETTINGS) -> StreamPlan:
    """Decide from the configuration that the server has (None: no such stream); settings not ours stay as they are."""
    if existing is None:
        return StreamPlan(create={"num_replicas": NUMBER_OF_REPLICAS} | settings)
    differences = [
        Difference(name, existing.get(name, _absent(wanted)), wanted)
        for name, wanted in settings.items()
        if existing.get(name, _absent(wanted)) != wanted
    ]
    return StreamPlan(update=existing | settings if differences else None, differences=differences)


def _absent(wanted: Any) -> Any:
    """The server leaves false and zero out of its answers."""
    return type(wanted)() if isinstance(wanted, bool | int) else None


async def provision_streams(connection: Client) -> list[str]:
    """The stream, and the bucket with as many copies; what was done, in words. `ProvisionError` when it is refused."""
    done = await _provision(connection, SETTINGS)
    stream = await _api(connection, "INFO", STREAM, None)
    replicas = stream["config"]["num_replicas"] if stream else NUMBER_OF_REPLICAS
    return done + await _provision(connection, BUCKET_SETTINGS | {"num_replicas": replicas})


async def _provision(connection: Client, settings: dict[str, Any]) -> list[str]:
    """Carry the plan for one stream out."""
    name = settings["name"]
    info = await _api(connection, "INFO", name, None)
    plan = plan_stream(info["config"] if info else None, settings)
    if plan.create is not None:
        await _api(connection, "CREATE", name, plan.create)
        return [f"stream {name}: created"]
    if plan.update is not None:
        try:
            await _api(connection, "UPDATE", name, plan.update)
        except ProvisionError as error:
            raise ProvisionError(_refusal(plan.differences, error)) from error
        return [f"stream {name}: {difference}" for difference in plan.differences]
    return [f"stream {name}: as it should be"]


def _refusal(differences: list[Difference], error: ProvisionError) -> str:
    fixed = [str(difference) for difference in differences if difference.name in FIXED]
    reason = "; ".join(fixed or map(str, differences))
    return (
        f"{error} The stream needs other settings ({reason}) and the server cannot change them in place. "
        "Nothing was changed. Back the stream up, delete it, provision again and restore."
    )


async def _api(connection: Client, verb: str, name: str, body: dict[str, Any] | None) -> dict[str, Any] | None:
    """One call of JetStream's API; None when there is no such stream."""
    payload = b"" if body is None else json.dumps(body).encode()
    message = await connection.request(f"$JS.API.STREAM.{verb}.{name}", payload, timeout=_API_SECONDS)
    reply: dict[str, Any] = json.loads(message.data)
    error = reply.get("error")
    if error is None:
        return reply
    if error.get("err_code") == _NOT_FOUND:
        return None
    raise ProvisionError(f"NATS refused to {verb.lower()} the stream {name}: {error.get('description')}.")
