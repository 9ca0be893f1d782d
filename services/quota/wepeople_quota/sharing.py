"""Streams are shared among the processes of quota: one that owns two fewer than another asks that one for a stream.

Each stream that moves brings the two closer together, so it ends: with a difference of at most one nobody asks. With
one stream nobody ever does.
"""

import asyncio
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Protocol

from nats.aio.client import Client
from nats.aio.msg import Msg
from pydantic import ValidationError

from wepeople_chassis.broker import BROKER_DOWN
from wepeople_chassis.logging import get_logger
from wepeople_chassis.stream import StreamError
from wepeople_contracts.quota import Sharing
from wepeople_contracts.subjects import sharing_subject
from wepeople_quota.bucket import OVERWRITTEN, Entry

log = get_logger(__name__)

LOOK_SECONDS = 1.0
PATIENCE_SECONDS = 2.0
"""So long a process that asked waits for the lease before it looks again."""


def gives(mine: int, theirs: int) -> bool:
    """Whether a process that owns so many streams gives one to another that owns so many."""
    return mine >= theirs + 2


def wanted(owners: Mapping[str, str], me: str) -> str | None:
    """The stream for which a process asks, given who owns each; None when it has its share."""
    counts = Counter(owners.values())
    richest = max(counts, key=lambda owner: (counts[owner], owner), default=me)
    if not gives(counts[richest], counts[me]):
        return None
    return max(stream for stream, owner in owners.items() if owner == richest)


def owners_of(entries: Mapping[str, Entry | None], partitions: Mapping[str, Collection[int]]) -> dict[str, str] | None:
    """Who owns each stream; None while a lease is on its way, or its owner has not caught up with a split."""
    owners = {}
    for stream, entry in entries.items():
        if entry is None or entry.owner in ("", OVERWRITTEN) or entry.partitions != frozenset(partitions[stream]):
            return None
        owners[stream] = entry.owner
    return owners


class Shared(Protocol):
    """One stream, as far as sharing is concerned."""

    @property
    def partitions(self) -> frozenset[int]:
        """Those that it takes."""

    @property
    def entry(self) -> Entry | None:
        """What is known of its lease."""

    @property
    def is_owned(self) -> bool:
        """Whether this process answers for it."""

    @property
    def could_answer(self) -> bool:
        """Whether this process has read it to its end."""

    async def hand_over(self, heir: str) -> bool:
        """Let a process have it."""


class SharingOut:
    """Asks for a stream when this process, called `me`, has too few, and gives one away when it has too many."""

    def __init__(self, connection: Client, me: str, streams: Mapping[str, Shared]) -> None:
        self._connection = connection
        self._me = me
        self._streams = streams
        self._giving = asyncio.Lock()

    async def live(self) -> None:
        """For ever."""
        await self._connection.subscribe(sharing_subject("*"), cb=self._on_asked)
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            stream = self._wanted()
            if stream is None:
                continue
            asks = Sharing(stream=stream, heir=self._me, owns=self._owned())
            try:
                await self._connection.publish(sharing_subject(stream), asks.model_dump_json().encode())
            except BROKER_DOWN as error:
                log.warning("not_asked", error=repr(error))
            await asyncio.sleep(PATIENCE_SECONDS)

    def _wanted(self) -> str | None:
        streams = self._streams
        owners = owners_of({n: s.entry for n, s in streams.items()}, {n: s.partitions for n, s in streams.items()})
        if owners is None or not all(stream.could_answer for stream in streams.values()):
            return None
        return wanted(owners, self._me)

    def _owned(self) -> int:
        return sum(stream.is_owned for stream in self._streams.values())

    async def _on_asked(self, message: Msg) -> None:
        try:
            asked = Sharing.model_validate_json(message.data)
        except ValidationError:
            return
        stream = self._streams.get(asked.stream)
        if stream is None or not stream.is_owned or self._giving.locked():
            return
        async with self._giving:
            if gives(self._owned(), asked.owns):
                try:
                    given = await stream.hand_over(asked.heir)
                except (StreamError, *BROKER_DOWN) as error:
                    log.warning("not_handed_over", stream=asked.stream, error=repr(error))
                else:
                    log.info("shared", stream=asked.stream, heir=asked.heir, given=given)
