"""A TCP proxy that stops a conversation at a chosen point: to hold it, let it go on, cut it or reset it there."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from wepeople_embedded.ports import HOST

_CHUNK_BYTES = 64 * 1024
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER with no time to linger: closing sends RST."""


class Point(Enum):
    """Where a conversation stops, seen from the bytes that are looked for in what the client sends."""

    BEFORE = "before"
    """The server gets nothing of them."""

    WITHIN = "within"
    """The server gets the first half of what came with them."""

    AFTER = "after"
    """The server gets all; what it says to it never comes back."""


@dataclass(eq=False, slots=True)
class _Link:
    """One client's connection and the proxy's own to the server."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    holds_down: bool = False
    released: asyncio.Event = field(default_factory=asyncio.Event)

    def close(self, *, reset: bool) -> None:
        self.released.set()
        for writer in (self.client, self.server):
            if reset and not writer.transport.is_closing():
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            # Not close(), which first waits for a peer that may never read.
            writer.transport.abort()


class Proxy:
    """Passes everything on, until what it was told to catch comes by."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._links: dict[_Link, asyncio.Future[Any]] = {}
        self._mark: bytes | None = None
        self._point = Point.BEFORE
        self._caught: asyncio.Future[_Link] | None = None
        self.port = 0

    def catch(self, mark: bytes, point: Point) -> None:
        """Stop the next conversation whose client sends the mark."""
        self._mark, self._point = mark, point
        self._caught = asyncio.get_running_loop().create_future()

    async def caught(self, timeout_seconds: float = 15.0) -> None:
        """Return once a conversation is stopped: at AFTER that is when the server has answered."""
        assert self._caught is not None
        async with asyncio.timeout(timeout_seconds):
            await asyncio.shield(self._caught)

    def release(self) -> None:
        """Let the conversation that was caught go on."""
        assert self._caught is not None
        link = self._caught.result()
        link.holds_down = False
        link.released.set()

    def cut(self) -> None:
        """Close the conversation that was caught, in both directions."""
        assert self._caught is not None
        self._caught.result().close(reset=False)

    def reset(self) -> None:
        """The same, with RST."""
        assert self._caught is not None
        self._caught.result().close(reset=True)

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One conversation, from its client's connection to its end."""
        try:
            server_reader, server_writer = await asyncio.open_connection(HOST, self._target_port)
        except OSError:
            writer.transport.abort()
            return
        link = _Link(writer, server_writer)
        both = asyncio.gather(self._up(link, reader), self._down(link, server_reader), return_exceptions=True)
        self._links[link] = both
        try:
            for failed in await both:
                assert failed is None or isinstance(failed, OSError), failed
        finally:
            del self._links[link]

    async def close(self) -> None:
        """End every conversation."""
        for link in self._links:
            link.close(reset=False)
        await asyncio.gather(*self._links.values())

    async def _up(self, link: _Link, reader: asyncio.StreamReader) -> None:
        try:
            while data := await reader.read(_CHUNK_BYTES):
                if self._mark is not None and (start := data.find(self._mark)) >= 0:
                    data = await self._stop(link, data, start)
                await _pass(link.server, data)
        finally:
            link.close(reset=False)

    async def _stop(self, link: _Link, data: bytes, start: int) -> bytes:
        """Stop here if the point is on the way up; what is left to send after that."""
        self._mark = None
        link.released.clear()
        if self._point is Point.AFTER:
            link.holds_down = True
            return data
        passes = start if self._point is Point.BEFORE else (start + len(data)) // 2
        await _pass(link.server, data[:passes])
        self._announce(link)
        await link.released.wait()
        return data[passes:]

    async def _down(self, link: _Link, reader: asyncio.StreamReader) -> None:
        try:
            while data := await reader.read(_CHUNK_BYTES):
                if link.holds_down:
                    self._announce(link)
                    await link.released.wait()
                await _pass(link.client, data)
        finally:
            link.close(reset=False)

    def _announce(self, link: _Link) -> None:
        if self._caught is not None and not self._caught.done():
            self._caught.set_result(link)


async def _pass(writer: asyncio.StreamWriter, data: bytes) -> None:
    if writer.transport.is_closing():
        raise ConnectionResetError("the conversation was cut")
    writer.write(data)
    await writer.drain()


@asynccontextmanager
async def proxy(target_port: int) -> AsyncIterator[Proxy]:
    """A proxy in front of a port of the loopback, on a port of its own."""
    running = Proxy(target_port)
    server = await asyncio.start_server(running.carry, HOST, 0)
    running.port = server.sockets[0].getsockname()[1]
    try:
        yield running
    finally:
        server.close()
        await running.close()
