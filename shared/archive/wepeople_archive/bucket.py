"""An archive in object storage: S3, or whatever speaks its API."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, parse_qs

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import S3Store

from wepeople_archive.errors import ArchiveError, StorageAway

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

_REQUEST_SECONDS = 60
_CONNECT_SECONDS = 5
_RETRIES = 3
_RETRY_SECONDS = 20
_FOR_GOOD = (UnauthenticatedError, PermissionDeniedError, PermissionError, NotFoundError, FileNotFoundError)
_REFUSED = re.compile("status code: 40[134]")
"""So a listing says it, whose errors are all of one class."""
_SAID = re.compile("<Message>([^<]*)</Message>")


class Bucket:
    """Objects are written by one request each, with `If-None-Match: *`."""

    def __init__(self, store: S3Store) -> None:
        self._store = store

    async def create(self, name: str, data: bytes) -> bool:
        """See `Store.create`."""
        try:
            async with _answering():
                await obstore.put_async(self._store, name, data, mode="create", use_multipart=False)
        except FileExistsError:
            return False
        except StorageAway:
            # Some refuse before they have heard all, and hang up.
            if await self._has(name):
                return False
            raise
        return True

    async def _has(self, name: str) -> bool:
        async with _answering():
            try:
                await obstore.head_async(self._store, name)
            except (FileNotFoundError, NotFoundError):
                return False
        return True

    async def read(self, name: str) -> bytes | None:
        """See `Store.read`."""
        async with _answering():
            try:
                found = await obstore.get_async(self._store, name)
            except (FileNotFoundError, NotFoundError):
                return None
            return bytes(await found.bytes_async())

    async def sizes(self, folder: str) -> dict[str, int]:
        """See `Store.sizes`."""
        async with _answering():
            found = {o["path"]: o["size"] async for part in obstore.list(self._store, folder) for o in part}
        return dict(sorted(found.items()))


@asynccontextmanager
async def _answering() -> AsyncIterator[None]:
    """What the storage refuses for good is an `ArchiveError`; anything else may pass."""
    try:
        yield
    except (AlreadyExistsError, PreconditionError):
        raise FileExistsError from None
    except (BaseError, OSError, ValueError) as error:
        if isinstance(error, _FOR_GOOD) or _REFUSED.search(str(error)):
            raise ArchiveError(f"the object storage refuses us: {_in_a_line(error)}") from None
        raise StorageAway(_in_a_line(error)) from None


def _in_a_line(error: Exception) -> str:
    """What went wrong, and what the storage itself says of it."""
    text = str(error).strip() or repr(error)
    said = _SAID.search(text)
    return text.splitlines()[0].partition(": <?xml")[0] + (f": {said[1]}" if said else "")


def open_bucket(url: SplitResult, key: tuple[str, str] | None, ca_file: Path | None) -> Bucket:
    """`s3://bucket/prefix?endpoint=…&region=…`. Without a key it is found as AWS's own tools do: the variables
    `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, a web identity's token, or the machine's role.
    """
    query = {name: values[0] for name, values in parse_qs(url.query).items()}
    options: dict[str, Any] = {}
    if endpoint := query.get("endpoint"):
        options["endpoint"] = endpoint
    if region := query.get("region"):
        options["region"] = region
    if key is not None:
        options["access_key_id"], options["secret_access_key"] = key
    client: ClientConfig = {
        "allow_http": query.get("endpoint", "").startswith("http://"),
        "timeout": timedelta(seconds=_REQUEST_SECONDS),
        "connect_timeout": timedelta(seconds=_CONNECT_SECONDS),
    }
    if ca_file is not None:
        try:
            client["root_certificate"] = ca_file.read_bytes()
        except OSError as error:
            raise ArchiveError(f"WEPEOPLE_ARCHIVE_CA_FILE cannot be read: {error}") from None
    retries: RetryConfig = {"max_retries": _RETRIES, "retry_timeout": timedelta(seconds=_RETRY_SECONDS)}
    prefix = url.path.strip("/") or None
    return Bucket(S3Store(url.netloc, prefix=prefix, client_options=client, retry_config=retries, **options))
