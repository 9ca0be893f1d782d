"""Connections to NATS, made in one way by every service."""

import asyncio
import logging
import signal
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nats
import nkeys
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.errors import APIError

from wepeople_chassis.logging import get_logger
from wepeople_contracts.subjects import ready_subject

log = get_logger(__name__)


_KEY_LETTERS = 13
"""Of a public key, in its inboxes' prefix: 60 bits tell users apart, and every request carries the prefix."""


@dataclass(frozen=True, slots=True)
class NatsAddress:
    """Where NATS is, and who we are there.

    `url` has several servers with commas between; `seed` is that of a user's nkey, and without it we are nobody in
    particular; `ca_file` says whose certificates are believed of a `tls://` server, in place of the machine's own list.
    """

    url: str
    seed: str | None = field(default=None, repr=False)
    ca_file: Path | None = None

    @property
    def servers(self) -> list[str]:
        """Each server's address."""
        return self.url.split(",")

    @property
    def tls(self) -> ssl.SSLContext | None:
        """What a `tls://` server is checked by; None for others."""
        if not self.url.startswith("tls://"):
            return None
        return ssl.create_default_context(cafile=self.ca_file)

    @property
    def inbox_prefix(self) -> str:
        """Under which replies come to this user, and to nobody else."""
        return "_INBOX" if self.seed is None else inbox_prefix(user_of_seed(self.seed))


def user_of_seed(seed: str) -> str:
    """The public key of a user's seed; `ValueError` for what is no such seed."""
    try:
        public_key: str = nkeys.from_seed(bytearray(seed.strip().encode())).public_key.decode()
    except (nkeys.NkeysError, ValueError):
        raise ValueError("not the seed of an nkey") from None
    if not public_key.startswith("U"):
        raise ValueError("not the seed of a user's nkey, which begins with SU")
    return public_key


def inbox_prefix(public_key: str) -> str:
    """Of the inboxes of the user with this public key."""
    return f"_INBOX_{public_key[:_KEY_LETTERS]}"


def connect_options(name: str) -> dict[str, Any]:
    """How every connection behaves: it reconnects for ever, fast, and says when it lost the server."""

    async def disconnected() -> None:
        log.warning("nats_disconnected", connection=name)

    async def closed() -> None:
        log.info("nats_closed", connection=name)

    async def failed(error: Exception) -> None:
        if is_forbidden(error):
            log.error("nats_permission_denied", connection=name, error=str(error).removeprefix("nats: "))
            return
        log.warning("nats_error", connection=name, error=repr(error))

    logging.getLogger("asyncio").addFilter(_no_half_closed)
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
    address: NatsAddress, name: str, *, on_reconnect: Callable[[], Awaitable[None]] | None = None, **options: Any
) -> Client:
    """Connect, waiting for the server as long as it takes; `options` go to `nats.connect` unchanged."""
    merged = connect_options(name) | options
    if address.seed is not None:
        merged |= {"nkeys_seed_str": address.seed}
    if (tls := address.tls) is not None:
        # Before the server says a word: what stands between could else say that no TLS is wanted here.
        merged |= {"tls": tls, "tls_handshake_first": True}
    if on_reconnect is not None:
        merged["reconnected_cb"] = on_reconnect
    return await nats.connect(address.servers, inbox_prefix=address.inbox_prefix, **merged)


def is_forbidden(error: Exception) -> bool:
    """Whether the server says that this user may not do what was tried; who tried it gets no answer."""
    return "permissions violation" in str(error)


def _no_half_closed(record: logging.LogRecord) -> bool:
    # asyncio's own reader, which nats-py uses, says so of itself whenever the other end closes.
    return "returning true from eof_received() has no effect" not in record.getMessage()


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
