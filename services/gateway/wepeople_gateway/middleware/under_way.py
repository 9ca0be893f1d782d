"""Requests under way, which a gateway that stops still finishes."""

import asyncio

from aiohttp import web

from wepeople_gateway.middleware.errors import Handler


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

    async def finish(self, timeout_seconds: float) -> None:
        """Return once no request is under way, or when the time is up."""
        self._finishing = True
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._none.wait()
        except TimeoutError:
            return
