"""Reading a body: the right type, not too large, not too slow, and never more memory than is set aside."""

import asyncio
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from aiohttp import web

from wepeople_gateway.errors import ApiError, MalformedBody, unavailable

_INFLATE_STEP_BYTES = 256 * 1024
_SMALL_BYTES = 64 * 1024
_KEPT_FOR_SMALL_BYTES = 4 * 1024 * 1024


class MemoryBudget:
    """Bytes of request bodies held at once by the whole process; a request that would pass it is answered 503.

    Beside them some are kept for small bodies, which large ones must not keep out.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._all = self._free = limit_bytes + _KEPT_FOR_SMALL_BYTES

    @property
    def taken_bytes(self) -> int:
        """What all accounts have taken."""
        return self._all - self._free

    @contextmanager
    def account(self) -> Iterator["Account"]:
        """Open an account for one request; what it took is given back at the end."""
        account = Account(self)
        try:
            yield account
        finally:
            self._free += account.taken

    def take(self, account: "Account", size: int) -> None:
        """Set bytes aside, or 503."""
        kept = _KEPT_FOR_SMALL_BYTES if account.taken + size > _SMALL_BYTES else 0
        if size > self._free - kept:
            raise unavailable("The gateway holds as many request bodies as it can; send this request again shortly.")
        self._free -= size
        account.taken += size


@dataclass(slots=True)
class Account:
    """What one request has taken of the budget."""

    budget: MemoryBudget
    taken: int = 0

    def take(self, size: int) -> None:
        """Set bytes aside, or 503."""
        self.budget.take(self, size)


def check_content_type(request: web.Request) -> None:
    """415 unless the body is JSON in UTF-8, as it is or gzipped."""
    charset = (request.charset or "utf-8").lower()
    if request.content_type != "application/json" or charset not in ("utf-8", "utf8", "us-ascii"):
        raise ApiError(
            "unsupported_media_type", "Send the body as `Content-Type: application/json`, in UTF-8.", close=True
        )
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip"):
        raise ApiError(
            "unsupported_media_type",
            f"Content-Encoding {encoding!r} is not supported; use gzip or none.",
            close=True,
        )


async def read_body(request: web.Request, account: Account, *, max_bytes: int, timeout_seconds: float) -> bytes:
    """The whole body, decompressed; 413 as soon as it passes `max_bytes`, 400 when it does not end in time.

    Raises `MalformedBody` when it is not the gzip it claims to be.
    """
    if (request.content_length or 0) > max_bytes:
        raise _too_large(max_bytes)
    gzipped = request.headers.get("Content-Encoding", "").strip().lower() == "gzip"
    inflate = _Inflater() if gzipped else None
    chunks: list[bytes] = []
    size = 0
    try:
        # A small body came with its headers; a timer for it would be a tenth of the request's cost.
        async with asyncio.timeout(None if request.content.is_eof() else timeout_seconds):
            async for received in request.content.iter_any():
                for chunk in inflate.feed(received) if inflate else (received,):
                    size += len(chunk)
                    if size > max_bytes:
                        raise _too_large(max_bytes)
                    account.take(len(chunk))
                    chunks.append(chunk)
    except TimeoutError:
        message = f"The body did not arrive within {timeout_seconds:g} seconds; send less at once."
        raise ApiError("invalid_body", message, close=True) from None
    if inflate is not None:
        inflate.finish()
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _too_large(max_bytes: int) -> ApiError:
    message = f"The body is larger than {max_bytes} bytes after decompression; split it into several requests."
    return ApiError("payload_too_large", message, close=True)


class _Inflater:
    """Gunzips in bounded steps, so that a bomb is noticed at the limit and not after it has gone off."""

    def __init__(self) -> None:
        self._gunzip = zlib.decompressobj(zlib.MAX_WBITS | 16)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The bytes that `data` unpacks to, at most 256 KiB at a time."""
        try:
            while data and not self._gunzip.eof:
                yield self._gunzip.decompress(data, _INFLATE_STEP_BYTES)
                data = self._gunzip.unconsumed_tail
        except zlib.error as error:
            raise MalformedBody("The body is not valid gzip, although Content-Encoding says so.") from error
        if data or self._gunzip.unused_data:
            raise MalformedBody("There are bytes behind the end of the gzipped body.")

    def finish(self) -> None:
        """Check that the stream came to its end."""
        if not self._gunzip.eof:
            raise MalformedBody("The gzipped body is cut off.")
