"""HTTP by hand over one socket, for what no client library would send."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

from multidict import CIMultiDict

from tests.support.client import Answer
from tests.support.tls import trusting


class Wire:
    """One connection; answers are read one by one, in order."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        """Write bytes as they are; `ConnectionError` once the server has closed."""
        self._writer.write(data)
        await self._writer.drain()

    def end(self) -> None:
        """Say that nothing more comes."""
        self._writer.write_eof()

    def abort(self) -> None:
        """Leave at once, whatever is not sent yet."""
        self._writer.transport.abort()

    async def continues(self, timeout_seconds: float = 10.0) -> bool:
        """Whether the server asks for the body of a request that expected it to."""
        async with asyncio.timeout(timeout_seconds):
            return (await self._reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")

    async def answer(self, timeout_seconds: float = 10.0) -> Answer:
        """The next response; `asyncio.IncompleteReadError` when the connection ends first."""
        async with asyncio.timeout(timeout_seconds):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            status_line, *lines = head.rstrip("\r\n").split("\r\n")
            headers: CIMultiDict[str] = CIMultiDict()
            for line in lines:
                name, _, value = line.partition(": ")
                headers.add(name, value)
            body = await self._reader.readexactly(int(headers["Content-Length"]))
        return Answer(int(status_line.split(" ")[1]), headers, body)

    async def closed(self, timeout_seconds: float = 10.0) -> bool:
        """Whether the server closes the connection within the time without sending anything more."""
        try:
            async with asyncio.timeout(timeout_seconds):
                return await self._reader.read(1) == b""
        except ConnectionError:
            return True


@asynccontextmanager
async def wire(base_url: str) -> AsyncIterator[Wire]:
    """A connection to the server behind a URL; through TLS to one of the tests' own authority."""
    address = urlsplit(base_url)
    tls = trusting() if address.scheme == "https" else None
    reader, writer = await asyncio.open_connection(address.hostname, address.port, ssl=tls)
    try:
        yield Wire(reader, writer)
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


def request_bytes(method: str, path: str, key: str, body: bytes = b"", **headers: str) -> bytes:
    """A well-formed request; a header's name is the argument's with dashes for underscores."""
    fields = {"Host": "localhost", "Authorization": f"Bearer {key}"}
    if method == "POST":
        fields |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{method} /api/v1/ingest{path} HTTP/1.1", *(f"{n}: {v}" for n, v in fields.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
