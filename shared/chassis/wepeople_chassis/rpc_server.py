"""Answering another service, so that the asker never waits in vain."""

from collections.abc import Awaitable, Callable
from typing import Any

from faststream import ExceptionMiddleware
from faststream.nats import NatsBroker
from faststream.nats.security import NatsNKey, NatsSecurity
from pydantic import ValidationError

from wepeople_chassis.broker import NatsAddress, connect_options
from wepeople_chassis.logging import get_logger
from wepeople_chassis.rpc import Refused
from wepeople_contracts.reply import Reply, RpcError

log = get_logger(__name__)


def error_reply(error: Exception) -> Reply[Any]:
    """What the asker is told when a handler raised.

    `Refused` carries its own error; a request that does not parse is `invalid`; anything else is logged with its
    traceback and answered `internal`, without details.
    """
    if isinstance(error, Refused):
        return Reply[Any](error=error.error)
    if isinstance(error, ValidationError):
        text = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        return Reply[Any](error=RpcError(code="invalid", message=text))
    log.error("rpc_handler_crashed", exc_info=error)
    return Reply[Any](error=RpcError(code="internal", message="the service failed; its log says why"))


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
    apply_types: bool = True,
) -> NatsBroker:
    """A FastStream broker for request/reply, with error replies.

    Without `apply_types` a handler takes what its decoder returns, unchecked, and a reply must be bytes.
    """
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
        apply_types=apply_types,
        **connect_options(name),
    )
