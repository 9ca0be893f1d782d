"""The stream INGEST and the bucket of quota's lease: made once, settings kept right, messages never touched."""

import json
from collections.abc import Sequence
from typing import Any

from nats.aio.client import Client

from wepeople_contracts.subjects import LEASE_STREAM, STREAMS
from wepeople_provision.change import Change
from wepeople_provision.errors import ProvisionError
from wepeople_provision.stream_plan import NO_WISHES, Existing, StreamPlan, Wishes, hint, plan_bucket, plan_stream

_API_SECONDS = 10.0
_NOT_FOUND = 10059


async def plan_streams(connection: Client, wishes: Wishes = NO_WISHES) -> list[Change]:
    """What `provision_streams` would change; nothing is."""
    return [change for plan in await _plans(connection, wishes) for change in plan.changes]


async def provision_streams(connection: Client, wishes: Wishes = NO_WISHES) -> list[str]:
    """The stream, and the bucket with as many copies; what was done, in words.

    `ProvisionError` when something is refused; what this process can foresee is refused before anything is changed.
    """
    plans = await _plans(connection, wishes)
    if refused := [change for plan in plans for change in plan.changes if change.refused]:
        raise ProvisionError("\n".join(map(str, refused)) + "\nNothing was changed.")
    return [line for plan in plans for line in await _carry_out(connection, plan)]


async def _plans(connection: Client, wishes: Wishes) -> Sequence[StreamPlan]:
    stream = plan_stream(await _existing(connection, STREAMS[0]), wishes)
    return stream, plan_bucket(await _existing(connection, LEASE_STREAM), stream.replicas)


async def _existing(connection: Client, name: str) -> Existing | None:
    info = await _api(connection, "INFO", name, None)
    return None if info is None else Existing(info["config"], info["state"]["bytes"])


async def _carry_out(connection: Client, plan: StreamPlan) -> list[str]:
    if plan.create is not None:
        await _api(connection, "CREATE", plan.name, plan.create)
        return [f"stream {plan.name}: created"]
    if plan.update is None:
        return [f"stream {plan.name}: as it should be"]
    try:
        await _api(connection, "UPDATE", plan.name, plan.update)
    except ProvisionError as error:
        wanted = "; ".join(map(str, plan.differences))
        hints = " ".join(dict.fromkeys(hint(difference.name) for difference in plan.differences))
        raise ProvisionError(f"{error} It should have been: {wanted}. Nothing was changed. {hints}") from error
    return [f"stream {plan.name}: {difference}" for difference in plan.differences]


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
