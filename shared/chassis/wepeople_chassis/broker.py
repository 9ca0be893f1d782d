"""Connections to NATS, made in one way by every service."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import Any

import nats
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.errors import APIError

from wepeople_chassis.logging import get_logger
from wepeople_contracts.subjects import ready_subject

log = get_logger(__name__)


def connect_options(name: str) -> dict[str, Any]:
    """How every connection behaves: it reconnects for ever, fast, and says when it lost the server."""

    async def disconnected() -> None:
        log.warning("nats_disconnected", connection=name)

    async def closed() -> None:
        log.info("nats_closed", connection=name)

    async def failed(error: Exception) -> None:
        log.warning("nats_error", connection=name, error=repr(error))

    return {
        "name": name,
        "max_reconnect_attempts": -1,
        "reconnect_time_wait": 0.25,
        "connect_timeout": 2,
        "ping_interval": 10,
        "max_outstanding_pings": 2,
        "disconnected_cb": disconnected,
        "closed_cb": closed,
        "error_cb": failed,
    }


async def connect(
    url: str, name: str, *, on_reconnect: Callable[[], Awaitable[None]] | None = None, **options: Any
) -> Client:
    """Connect, waiting for the server as long as it takes; `options` go to `nats.connect` unchanged."""
    merged = connect_options(name) | options
    if on_reconnect is not None:
        merged["reconnected_cb"] = on_reconnect
    return await nats.connect(url, **merged)


async def close(connection: Client) -> None:
    """Close for good, whether the server is there or not."""
    try:
        await connection.close()
    except (RuntimeError, *BROKER_DOWN) as error:
        # nats-py writes what is left in the buffer of a lost connection to a transport that uvloop has closed.
        log.warning("nats_closed_with_unsent_data", error=repr(error))


async def serve_ready(connection: Client, service: str) -> None:
    """Answer on the service's ready subject from now on; call it last, once the service can work."""

    async def answer(message: Any) -> None:
        await message.respond(b'{"ready":true}')

    await connection.subscribe(ready_subject(service), cb=answer)
    await connection.flush()
    log.info("ready")


async def is_ready(connection: Client, service: str, timeout_seconds: float = 0.5) -> bool:
    """Whether a service answers on its ready subject."""
    try:
        await connection.request(ready_subject(service), b"", timeout=timeout_seconds)
    except (NatsError, TimeoutError):
        return False
    return True


async def wait_for_stop_signal() -> None:
    """Return at the first SIGTERM or SIGINT; a second one is left to its default."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.remove_signal_handler(number)


BROKER_DOWN = (NatsError, APIError, TimeoutError, OSError)
"""What a call to NATS raises when the server is away, starting, or not answering in time."""
