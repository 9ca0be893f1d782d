"""aiohttp's server, on connections of our own."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Middleware
from aiohttp.web_protocol import RequestHandler

from wepeople_gateway.connection import Connection, Manners


class GatewayRunner(web.AppRunner):
    """Runs the application on `Connection`s; bodies reach the handler as sent, still compressed.

    `around` are middlewares, the outermost first, for what aiohttp answers before those of an application, too.
    """

    def __init__(
        self, app: web.Application, manners: Manners, idle_seconds: float, around: Sequence[Middleware]
    ) -> None:
        super().__init__(
            app,
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=idle_seconds,
            lingering_time=2.0,
            shutdown_timeout=0.3,
        )
        self._manners = manners
        self._around = around

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        manners = self._manners

        class Server(web.Server):
            def __call__(self) -> RequestHandler:
                return Connection(manners, self, loop=self._loop, **self._kwargs)

        server.__class__ = Server
        for middleware in reversed(self._around):
            server.request_handler = partial(middleware, handler=server.request_handler)
        return server


def listening_port(runner: web.AppRunner) -> int:
    """The port that was bound, for a setting of 0."""
    address: Any = runner.addresses[0]
    return int(address[1])
