"""One client's connection: aiohttp's, made to speak the API's error shape even where no request was understood, and to
bear clients that are slow, half gone or hostile.

Uses names that aiohttp keeps to itself; tests/integration/test_gateway_http.py and test_gateway_hostile_*.py send what
needs them, so an upgrade that moves them is noticed.
"""

import asyncio
import socket
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler, _ErrInfo

from wepeople_chassis.logging import get_logger
from wepeople_contracts.errors import STATUS
from wepeople_contracts.ids import new_request_id
from wepeople_gateway.errors import ApiError, error_body, error_response, unavailable
from wepeople_gateway.middleware.errors import INTERNAL
from wepeople_gateway.room import Room

log = get_logger(__name__)

_MAX_HEAD_BYTES = 64 * 1024
_UNREAD_SECONDS = 30
"""How long a client may leave an answer lying without taking any of it."""


@dataclass(frozen=True, slots=True)
class Manners:
    """What every connection of a server has in common: its room, and how long a request's head may take."""

    docs_url: str
    head_seconds: float
    room: Room


class Connection(RequestHandler):
    """Closes when a request's head is late or too large, or when there is no room; answers clients that half-closed."""

    def __init__(self, manners: Manners, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._manners = manners
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._ended = False
        self.greeting: asyncio.Task[None] | None = None
        """The handshake of a connection that has no transport yet."""

    @property
    def waits(self) -> bool:
        """Whether no request is being answered: the client may be idle, or in the middle of a request's head."""
        return self._request_count == 0 or (self._waiter is not None and not self._waiter.done())

    def leave(self) -> None:
        """Close at once, for a connection that needs the place."""
        if self.transport is not None:
            self.transport.abort()
        elif self.greeting is not None:
            self.greeting.cancel()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a place, or say that there is none."""
        super().connection_made(transport)
        if not self._manners.room.enter(self):
            self._refuse(unavailable("The gateway serves as many connections as it can; connect again shortly."))
            return
        peer = transport.get_extra_info("socket")
        if peer is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNREAD_SECONDS * 1000)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Give the place back."""
        self._manners.room.left(self)
        self._head_complete()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Watch over a head that does not come whole, and over a body whose chunks are nonsense."""
        super().data_received(data)
        if self.waits:
            self._head_incomplete(len(data))
            return
        if self._head_timer is not None:
            self._head_complete()
        request = self._current_request
        if request is not None and self._messages and isinstance(self._messages[-1][0], _ErrInfo):
            body = request.content
            if not body.is_eof():
                body.set_exception(ApiError("invalid_body", "The body's chunks are not well-formed.", close=True))
                body.feed_eof()

    def eof_received(self) -> bool:  # type: ignore[override]
        """The client sends nothing more: it still gets the answers to all that it sent whole, except through TLS, which
        ends in both directions at once.
        """
        self._ended = True
        if self.transport is not None and self.transport.get_extra_info("ssl_object") is not None:
            return False
        if self._messages:
            return bool(self._messages[-1][1].is_eof())
        if self._current_request is not None:
            return self._current_request.content.is_eof()
        return not self.waits

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Called by aiohttp to send an answer; the last one closes a connection whose client has ended."""
        self._manners.room.used(self)
        if self._ended and not self._messages:
            resp.force_close()
        return await super().finish_response(request, resp, start_time)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Called by aiohttp when a request cannot be parsed, or its handler failed past every middleware."""
        if isinstance(exc, ConnectionError):
            raise exc  # The client has left, and nobody is there to be told.
        if request.writer.output_size > 0:
            raise ConnectionError("part of a response was sent; the connection can only be closed")
        request_id = new_request_id()
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            log.error("connection_failed", request_id=request_id, exc_info=exc)
            error = INTERNAL
        else:
            log.info("request_not_understood", request_id=request_id, error=repr(exc))
            error = ApiError("invalid_body", "The request is not well-formed HTTP/1.1.")
        response = error_response(error, request_id, self._manners.docs_url)
        response.headers["X-Request-Id"] = request_id
        response.force_close()
        return response

    def _head_incomplete(self, received: int) -> None:
        self._head_bytes += received
        if self._head_bytes > _MAX_HEAD_BYTES:
            self._refuse(ApiError("invalid_body", f"The request's head is larger than {_MAX_HEAD_BYTES} bytes."))
        elif self._head_timer is None:
            self._head_timer = self._loop.call_later(self._manners.head_seconds, self._head_late)

    def _head_complete(self) -> None:
        self._head_bytes = 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_late(self) -> None:
        seconds = self._manners.head_seconds
        self._refuse(ApiError("invalid_body", f"The request's head did not arrive within {seconds:g} seconds."))

    def _refuse(self, error: ApiError) -> None:
        """Answer where no request has arrived, and close."""
        if self.transport is None:
            return
        request_id, status = new_request_id(), HTTPStatus(STATUS[error.code])
        log.info("connection_refused", request_id=request_id, error=error.message)
        body = error_body(error, request_id, self._manners.docs_url)
        fields = {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "X-Request-Id": request_id,
            "Server": "wepeople",
            "Connection": "close",
            **error.headers,
        }
        lines = [f"HTTP/1.1 {status.value} {status.phrase}", *(f"{name}: {value}" for name, value in fields.items())]
        self.transport.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        self.force_close()
