"""The entry of the key-value bucket that says whose the lease of a stream is, moved only by compare-and-set on its
revision.

Spoken to directly: a read asks the bucket's leader, which nats-py's own `get` does not, and a write needs no copy of
the bucket's settings.
"""

import base64
import json
from collections.abc import Collection
from typing import Any, NamedTuple

from nats.aio.client import Client

from wepeople_chassis.stream import StreamError, jetstream
from wepeople_contracts.subjects import LEASE_BUCKET, LEASE_STREAM, PARTITIONS, lease_subject

_WRITE_SECONDS = 1.0
_NO_STREAM = 10059
_NO_MESSAGE = 10037
_WRONG_REVISION = (10071, 10164)
_NO_EPOCH = 2**62
"""Postgres has room for no higher one, and the next must be higher."""

ALL = frozenset(range(PARTITIONS))

OVERWRITTEN = "(no process of quota)"
"""The owner of what nobody who takes part has written: JetStream puts its answer wherever a request wants it."""


class Entry(NamedTuple):
    """What the bucket holds; `revision` 0: nothing yet. `owner` is empty once an owner gave the lease back. An owner
    answers for `partitions`: those of the stream, and such as left it for another whose lease it does not have yet.
    """

    revision: int
    epoch: int
    owner: str
    partitions: frozenset[int] = frozenset()

    def keeps_from(self, owner: str, partitions: Collection[int]) -> bool:
        """Whether somebody else may be answering for some of these partitions."""
        return self.owner not in ("", owner) and not self.partitions.isdisjoint(partitions)


def entry_of(revision: int, data: bytes) -> Entry:
    """What was written, whoever wrote it. What is not ours may stand over the entry of an owner of any partition; its
    epoch is its revision, since no epoch under it is higher: each took a write.
    """
    try:
        match json.loads(data):
            case {"epoch": int(epoch), "owner": str(owner), "partitions": list(partitions)} if (
                0 <= epoch < _NO_EPOCH and ALL.issuperset(partitions)
            ):
                return Entry(revision, epoch, owner, frozenset(partitions))
    except (ValueError, TypeError, RecursionError):
        pass
    return Entry(revision, revision, OVERWRITTEN, ALL)


class Bucket:
    """Reads and writes the entry of a stream; `BROKER_DOWN` when the server is away, `StreamError` when there is no
    bucket.
    """

    def __init__(self, connection: Client, stream: str) -> None:
        self._connection = connection
        self._subject = lease_subject(stream)

    async def read(self) -> Entry:
        """The entry as the server has it now."""
        try:
            reply = await jetstream(self._connection, f"STREAM.MSG.GET.{LEASE_STREAM}", {"last_by_subj": self._subject})
        except StreamError as error:
            if error.err_code == _NO_MESSAGE:
                return Entry(0, 0, "")
            if error.err_code == _NO_STREAM:
                raise StreamError(f"the bucket {LEASE_BUCKET} is missing; run `wepeople provision` first") from error
            raise
        message = reply["message"]
        return entry_of(message["seq"], base64.b64decode(message.get("data", "")))

    async def replace(self, seen: Entry, epoch: int, owner: str, partitions: frozenset[int]) -> Entry | None:
        """Write over the entry that was seen; None when another came first.

        After a `TimeoutError` it may be written all the same, even later: only reading it tells.
        """
        message = await self._connection.request(
            self._subject,
            json.dumps({"epoch": epoch, "owner": owner, "partitions": sorted(partitions)}).encode(),
            timeout=_WRITE_SECONDS,
            headers={"Nats-Expected-Last-Subject-Sequence": str(seen.revision)},
        )
        reply: dict[str, Any] = json.loads(message.data)
        error = reply.get("error")
        if error is None:
            return Entry(reply["seq"], epoch, owner, partitions)
        if error.get("err_code") in _WRONG_REVISION:
            return None
        if error.get("code") == 503:  # noqa: PLR2004 - JetStream is starting, or has no leader yet
            raise TimeoutError(error["description"])
        raise StreamError(f"{self._subject}: {error.get('description')}", error.get("err_code"))
