"""TLS in front of the connections: a client has its place in the room from the first packet on, before its handshake.

A server that the event loop makes tells nobody of a client until its handshake is over: those that never finish one
would be held in no bounds. So connections are accepted here, and the loop has the handshake alone.
"""

import asyncio
import socket
from collections.abc import Coroutine, Sequence
from typing import Any, cast

from aiohttp import web

from wepeople_chassis.logging import get_logger
from wepeople_gateway.certificate import ServerCertificate
from wepeople_gateway.connection import Connection
from wepeople_gateway.metrics import tls_refused
from wepeople_gateway.room import Room

log = get_logger(__name__)

_GOODBYE_SECONDS = 2.0
"""How long a client may take to end TLS in order, once all is said."""

_TURNED_AWAY = 32
"""So many clients without a place may finish their handshake at once, to be told so: a 503 is sent through TLS."""

_REST_SECONDS = 0.1
"""Before accepting again, when the process may not open another file."""


class TlsSite(web.TCPSite):
    """Listens as its parent does; each client has `handshake_seconds` to finish its handshake."""

    def __init__(
        self,
        runner: web.AppRunner,
        host: str,
        port: int,
        *,
        certificate: ServerCertificate,
        room: Room,
        handshake_seconds: float,
        backlog: int,
    ) -> None:
        super().__init__(runner, host, port, ssl_context=certificate.context, backlog=backlog)
        self._address = (host, port)
        self._certificate = certificate
        self._room = room
        self._handshake_seconds = handshake_seconds
        self._tasks: set[asyncio.Task[None]] = set()
        self._turned_away = 0

    async def start(self) -> None:
        """Listen from now on; `OSError` when an address cannot be had."""
        listeners = await _listen(*self._address, self._backlog)
        await web.BaseSite.start(self)
        self._server = cast(asyncio.AbstractServer, _Listening(listeners))
        self._run(self._certificate.follow())
        for listener in listeners:
            self._run(self._accept(listener))

    async def stop(self) -> None:
        """Listen no more, and leave those who have not finished their handshake."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await super().stop()

    def _run(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                client, _ = await loop.sock_accept(listener)
            except ConnectionError:
                continue
            except OSError as error:
                log.warning("cannot_accept", error=str(error))
                await asyncio.sleep(_REST_SECONDS)
                continue
            assert self._runner.server is not None
            connection = cast(Connection, self._runner.server())
            has_place = self._room.enter(connection)
            if has_place or self._turned_away < _TURNED_AWAY:
                self._turned_away += not has_place
                connection.greeting = self._run(self._shake_hands(client, connection, has_place=has_place))
            else:
                client.close()

    async def _shake_hands(self, client: socket.socket, connection: Connection, *, has_place: bool) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: connection,
                client,
                ssl=self._certificate.context,
                ssl_handshake_timeout=self._handshake_seconds,
                ssl_shutdown_timeout=_GOODBYE_SECONDS,
            )
        except OSError as error:
            # Among them ssl.SSLError, of clients that speak plain HTTP, and TimeoutError.
            tls_refused.count += 1
            log.debug("tls_refused", error=str(error) or repr(error))
        finally:
            self._turned_away -= not has_place
            if connection.transport is None:
                self._room.left(connection)
                client.close()


class _Listening:
    """The listening sockets, as aiohttp looks at them."""

    def __init__(self, sockets: Sequence[socket.socket]) -> None:
        self.sockets = sockets

    def close(self) -> None:
        """Listen no more."""
        for listener in self.sockets:
            listener.close()


async def _listen(host: str, port: int, backlog: int) -> list[socket.socket]:
    """A listening socket for each address of a host."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    listeners: list[socket.socket] = []
    try:
        for family, address in dict.fromkeys((family, address) for family, _, _, _, address in found):
            listener = socket.create_server(address[:2], family=family, backlog=backlog)
            listener.setblocking(False)
            listeners.append(listener)
    except OSError:
        for listener in listeners:
            listener.close()
        raise
    return listeners
