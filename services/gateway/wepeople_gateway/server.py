"""aiohttp's server, made to speak the API's error shape even where no request was understood.

Uses three names that aiohttp keeps to itself; tests/integration/test_gateway_http.py sends broken requests, so an
upgrade that moves them is noticed.
"""

from collections.abc import Sequence
from functools import partial
from http import HTTPStatus
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Middleware
from aiohttp.web_protocol import RequestHandler

from wepeople_chassis.logging import get_logger
from wepeople_contracts.ids import new_request_id
from wepeople_gateway.errors import ApiError, error_response
from wepeople_gateway.middleware.errors import INTERNAL

log = get_logger(__name__)


class _Connection(RequestHandler):
    """One client connection: answers what is not HTTP, or breaks off, in the error shape."""

    docs_url = ""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Called by aiohttp when a request cannot be parsed, or its handler failed past every middleware."""
        request_id = new_request_id()
        if request.writer.output_size > 0:
            raise ConnectionError("part of a response was sent; the connection can only be closed")
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            log.error("connection_failed", request_id=request_id, exc_info=exc)
            error = INTERNAL
        else:
            log.info("request_not_understood", request_id=request_id, error=repr(exc))
            error = ApiError("invalid_body", "The request is not well-formed HTTP/1.1.")
        response = error_response(error, request_id, self.docs_url)
        response.headers["X-Request-Id"] = request_id
        response.force_close()
        return response


class GatewayRunner(web.AppRunner):
    """Runs the application on connections of the kind above; bodies reach the handler as sent, still compressed.

    `around` are middlewares, the outermost first, for what aiohttp answers before those of an application, too.
    """

    def __init__(self, app: web.Application, docs_url: str, around: Sequence[Middleware]) -> None:
        super().__init__(app, access_log=None, auto_decompress=False, lingering_time=2.0, shutdown_timeout=0.3)
        self._connection_class = type("Connection", (_Connection,), {"docs_url": docs_url})
        self._around = around

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        connection_class = self._connection_class

        class Server(web.Server):
            def __call__(self) -> RequestHandler:
                connection: RequestHandler = connection_class(self, loop=self._loop, **self._kwargs)
                return connection

        server.__class__ = Server
        for middleware in reversed(self._around):
            server.request_handler = partial(middleware, handler=server.request_handler)
        return server


def listening_port(runner: web.AppRunner) -> int:
    """The port that was bound, for a setting of 0."""
    address: Any = runner.addresses[0]
    return int(address[1])
