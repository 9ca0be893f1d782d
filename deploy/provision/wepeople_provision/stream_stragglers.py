"""Messages that an old stream took of a partition after its cut: brought into the new one, so that none is lost.

None was ever seen. One server lets none through (the marker is behind them all); in a cluster, a node that becomes the
stream's leader at the very moment of the cut, and has not heard of it, could take some.
"""

import base64
import json
from typing import Any

from nats.aio.client import Client

from wepeople_contracts.subjects import partition_filter
from wepeople_provision.errors import ProvisionError
from wepeople_provision.stream_api import Refused, ask
from wepeople_provision.stream_layout import Split

_PUBLISH_SECONDS = 5.0


async def bring_along(connection: Client, split: Split, marker: int | None) -> int:
    """Store again, where they belong, what came behind the marker; how many. The ids keep it at once."""
    if marker is None:
        return 0
    brought = 0
    for partition in sorted(split.moving):
        after = marker
        while (message := await _next(connection, split.old, partition, after)) is not None:
            await _store(connection, message)
            after, brought = message["seq"], brought + 1
    return brought


async def _next(connection: Client, stream: str, partition: int, after: int) -> dict[str, Any] | None:
    try:
        wanted = {"seq": after + 1, "next_by_subj": partition_filter(partition)}
        message: dict[str, Any] = (await ask(connection, "STREAM.MSG.GET", stream, wanted))["message"]
    except Refused:
        return None
    return message


async def _store(connection: Client, message: dict[str, Any]) -> None:
    lines = base64.b64decode(message.get("hdrs", "")).decode().split("\r\n")[1:]
    headers = dict(line.split(": ", 1) for line in lines if ": " in line)
    data = base64.b64decode(message.get("data", ""))
    reply = await connection.request(message["subject"], data, timeout=_PUBLISH_SECONDS, headers=headers)
    if error := json.loads(reply.data).get("error"):
        raise ProvisionError(f"A message that came late could not be brought along: {error.get('description')}.")
