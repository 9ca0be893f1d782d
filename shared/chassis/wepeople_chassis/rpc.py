"""Asking another service, and what the asker is told when it fails."""

from functools import lru_cache
from typing import Any, TypeVar

from nats.aio.client import Client
from nats.aio.msg import Msg
from pydantic import BaseModel, ValidationError

from wepeople_chassis.broker import BROKER_DOWN
from wepeople_chassis.logging import get_logger
from wepeople_chassis.tracing import carried, is_tracing, span
from wepeople_contracts.reply import Reply, RpcError

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


@lru_cache(maxsize=64)
def _reply_of(ok: type[BaseModel]) -> type[Reply[Any]]:
    # Held here because pydantic keeps such a class only as long as somebody else does, and making one takes 0.7 ms.
    return Reply[ok]  # type: ignore[valid-type]


def _conversation(subject: str) -> str:
    """What is asked, whichever partition it is asked about."""
    return ".".join(part for part in subject.split(".") if not part.isdigit())


async def call(connection: Client, subject: str, request: BaseModel, ok: type[T], *, timeout_seconds: float = 5.0) -> T:
    """Ask and return the `ok` of the reply; `Refused` with its error, `Unavailable` when there was none in time."""
    body = request.model_dump_json().encode()
    if is_tracing():
        with span(_conversation(subject), "client"):
            message = await _ask(connection, subject, body, timeout_seconds, carried())
    else:
        message = await _ask(connection, subject, body, timeout_seconds, None)
    reply: Reply[T] = _reply_of(ok).model_validate_json(message.data)
    if reply.error is not None:
        raise Refused(reply.error)
    assert reply.ok is not None
    return reply.ok


async def _ask(
    connection: Client, subject: str, body: bytes, timeout_seconds: float, headers: dict[str, str] | None
) -> Msg:
    try:
        return await connection.request(subject, body, timeout=timeout_seconds, headers=headers)
    except BROKER_DOWN as error:
        raise Unavailable(subject, error) from error
