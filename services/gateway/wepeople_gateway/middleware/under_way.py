"""Requests under way, which a gateway that stops still finishes."""

import asyncio
from collections.abc import Sized
from contextlib import suppress

from aiohttp import web

from wepeople_gateway.middleware.errors import Handler

_TELL_SECONDS = 1.0


class UnderWay:
    """Counts them. aiohttp's own shutdown drops what arrives of a body after it began, so this comes before it."""

    def __init__(self) -> None:
        self._count = 0
        self._none = asyncio.Event()
        self._none.set()
        self._finishing = False

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """The outermost middleware; while the gateway stops, an answer is its connection's last."""
        self._count += 1
        self._none.clear()
        try:
            response = await handler(request)
            if self._finishing:
                response.force_close()
            return response
        finally:
            self._count -= 1
            if self._count == 0:
                self._none.set()

    async def finish(self, timeout_seconds: float, connections: Sized) -> None:
        """Return once no request is under way, or when the time is up.

        Before that, who sends one request after another on a connection is told with an answer that it is the last: one
        that is on its way as its connection is closed would get none.
        """
        self._finishing = True
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                if connections:
                    await asyncio.sleep(_TELL_SECONDS)
                await self._none.wait()
