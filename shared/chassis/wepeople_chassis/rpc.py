"""Asking another service, and answering so that the asker never waits in vain."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from faststream import ExceptionMiddleware
from faststream.nats import NatsBroker
from nats.aio.client import Client
from nats.errors import NoRespondersError
from pydantic import BaseModel, ValidationError

from wepeople_chassis.broker import BROKER_DOWN, connect_options
from wepeople_chassis.logging import get_logger
from wepeople_contracts.rpc import Reply, RpcError

log = get_logger(__name__)

T = TypeVar("T", bound=BaseModel)


class Refused(Exception):
    """A service decided against the request; `error` says why, in words for the asker."""

    def __init__(self, error: RpcError) -> None:
        super().__init__(f"{error.code}: {error.message}")
        self.error = error


class Unavailable(Exception):
    """Nobody answered in time, or nobody is there."""

    def __init__(self, subject: str, cause: Exception) -> None:
        super().__init__(f"no answer on {subject}: {cause!r}")
        self.subject = subject
        self.nobody_there = isinstance(cause, NoRespondersError)


async def call(connection: Client, subject: str, request: BaseModel, ok: type[T], *, timeout_seconds: float = 5.0) -> T:
    """Ask and return the `ok` of the reply; `Refused` with its error, `Unavailable` when there was none in time."""
    try:
        message = await connection.request(subject, request.model_dump_json().encode(), timeout=timeout_seconds)
    except BROKER_DOWN as error:
        raise Unavailable(subject, error) from error
    reply: Reply[T] = Reply[ok].model_validate_json(message.data)  # type: ignore[valid-type]
    if reply.error is not None:
        raise Refused(reply.error)
    assert reply.ok is not None
    return reply.ok


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
    url: str, name: str, *, on_reconnect: Callable[[], Awaitable[None]] | None = None, apply_types: bool = True
) -> NatsBroker:
    """A FastStream broker for request/reply, with error replies.

    Without `apply_types` a handler takes what its decoder returns, unchecked, and a reply must be bytes.
    """
    return NatsBroker(
        url,
        middlewares=[error_replies()],
        logger=None,
        reconnected_cb=on_reconnect,
        apply_types=apply_types,
        **connect_options(name),
    )
