"""Answering another service, so that the asker never waits in vain."""

from collections.abc import Awaitable, Callable
from typing import Any

from faststream import ExceptionMiddleware
from faststream.nats import NatsBroker
from faststream.nats.security import NatsNKey, NatsSecurity

from wepeople_chassis.broker import NatsAddress, connect_options
from wepeople_chassis.rpc import error_reply
from wepeople_contracts.reply import Reply


def error_replies() -> ExceptionMiddleware:
    """FastStream sends no reply when a handler raises; this sends `error_reply` of what it raised."""
    middleware = ExceptionMiddleware()

    @middleware.add_handler(Exception, publish=True)
    async def answer(error: Exception) -> Reply[Any]:
        return error_reply(error)

    return middleware


def make_broker(
    address: NatsAddress,
    name: str,
    *,
    on_reconnect: Callable[[], Awaitable[None]] | None = None,
) -> NatsBroker:
    """A FastStream broker for request/reply, with error replies."""
    tls = address.tls
    first = tls is not None
    if address.seed is None:
        security = NatsSecurity(ssl_context=tls, tls_handshake_first=first)
    else:
        security = NatsNKey.from_seed(address.seed, ssl_context=tls, tls_handshake_first=first)
    return NatsBroker(
        address.servers,
        security=security,
        inbox_prefix=address.inbox_prefix,
        middlewares=[error_replies()],
        logger=None,
        reconnected_cb=on_reconnect,
        **connect_options(name),
    )
