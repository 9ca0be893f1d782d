"""One change of the streams at a time, whoever runs the command and wherever: two at once would each put back what the
other changed.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from nats.aio.client import Client

from wepeople_contracts.subjects import STREAMS
from wepeople_provision.errors import ProvisionError
from wepeople_provision.stream_api import Refused, ask

LOCK = "splitting"
"""A consumer that nobody reads by, of the first stream, which is always there; the server makes only one of a name."""

_KEPT_SECONDS = 45
"""Longer than a cut can take; that of a command that was killed goes by itself after so long."""

WAIT_SECONDS = 60.0
_LOOK_SECONDS = 0.2


@asynccontextmanager
async def one_at_a_time(connection: Client) -> AsyncIterator[None]:
    """Wait until no other command changes the streams; `ProvisionError` when that does not end."""
    await _take(connection)
    try:
        yield
    finally:
        await connection.publish(f"$JS.API.CONSUMER.DELETE.{STREAMS[0]}.{LOCK}")


async def _take(connection: Client) -> None:
    config = {
        "name": LOCK,
        # What is asked for twice in the same words is made once, and the second is told that it has it.
        "description": secrets.token_hex(8),
        "ack_policy": "none",
        "mem_storage": True,
        "num_replicas": 1,
        "inactive_threshold": _KEPT_SECONDS * 1_000_000_000,
    }
    request = {"stream_name": STREAMS[0], "config": config, "action": "create"}
    until = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            await ask(connection, "CONSUMER.CREATE", f"{STREAMS[0]}.{LOCK}", request)
        except Refused as error:
            if time.monotonic() > until:
                raise ProvisionError(
                    f"Another command is at work on the streams ({error}) Nothing was changed. Run this again later."
                ) from error
            await asyncio.sleep(_LOOK_SECONDS)
        else:
            return
