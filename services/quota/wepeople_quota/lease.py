"""The right to answer for a stream's partitions: one process has it at a time, and knows by its own monotonic clock
when it has no longer.

An owner renews every second, and is silent once its last renewal that succeeded *began* three seconds ago. A standby
takes the lease when it has watched the entry for a little longer by its own clock and nobody moved it. The entry it
watched was written after that renewal began, so the old owner is silent before the new one speaks; no two clocks are
ever compared. Postgres has no part in it.

An owner whose stream was split answers on for the partitions that left, and its entry says so, until it has the lease
of the stream that they went to; nobody else takes that one before. So a partition has one owner over a split too, and
its epochs only grow, since whoever takes a lease goes above those of all streams.

Somebody else can have the server write over the entry, but can so neither own the lease nor end a process: what is not
ours stands in the way like an owner that does not renew. An owner that finds it in time writes over it and goes on: by
its own clock nobody can have taken over, so nobody's entry was lost in between.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence

from wepeople_chassis.broker import BROKER_DOWN
from wepeople_chassis.logging import get_logger
from wepeople_quota.bucket import OVERWRITTEN, Bucket, Entry

log = get_logger(__name__)

LEASE_SECONDS = 3.0
STILL_SECONDS = 3.2
"""How long a standby watches: longer, as clocks do not go alike and a verdict takes a moment to leave its process."""

RENEW_SECONDS = 1.0
_WATCH_SECONDS = 0.2
_HURRY_SECONDS = 0.02
_RETRY_SECONDS = 0.25


class Lease:
    """One process's part in it. `owner` must be a name that no other process ever has; `answers_for` are the partitions
    for which it answers under this lease, or will; `others` reads the entries of the other streams.

    `entry` is what was last known of the lease. `somebody_answers` is set once another owner was seen to be alive, or
    by this one once it answers.
    """

    def __init__(
        self,
        bucket: Bucket,
        owner: str,
        *,
        answers_for: Callable[[], frozenset[int]],
        others: Callable[[], Awaitable[Sequence[Entry]]],
        above_epoch: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.owner = owner
        self.entry: Entry | None = None
        self.somebody_answers = asyncio.Event()
        self._bucket = bucket
        self._answers_for = answers_for
        self._others = others
        self._above_epoch = above_epoch
        self._clock = clock
        self._held: Entry | None = None
        self._renewal_began = -math.inf
        self._hurry_until = -math.inf

    def epoch(self) -> int | None:
        """The epoch under which this process may answer now; None: it must be silent."""
        if self._held is None or self._clock() - self._renewal_began >= LEASE_SECONDS:
            return None
        return self._held.epoch

    def hurry(self) -> None:
        """Watch closely for a second: the owner is about to give the lease back."""
        self._hurry_until = self._clock() + 1.0

    async def take(self) -> int:
        """Wait until nobody else has the lease, and take it; the new epoch, higher than every one before.

        It is vacant when its owner gave it back, or when nobody ever had it; an entry that vanishes or is overwritten
        is not. It is this process's at once when the owner gave it to it by name.
        """
        watched: Entry | None = None
        unchanged_since = math.inf
        while True:
            try:
                entry = await self._bucket.read()
                now = self._clock()
                first = watched is None
                if watched is None or entry.revision != watched.revision:
                    if watched is not None and entry.owner not in ("", OVERWRITTEN):
                        self.somebody_answers.set()
                    watched, unchanged_since = self._see(entry), now
                is_vacant = not entry.owner and (first or entry.revision > 0)
                if is_vacant or entry.owner == self.owner or now - unchanged_since >= STILL_SECONDS:
                    taken = await self._replace(entry)
                    if taken is not None:
                        self._held, self._renewal_began = self._see(taken), now
                        return taken.epoch
            except BROKER_DOWN as error:
                # Whoever cannot see the entry does not know that it stood still; its owner could not move it either.
                watched = None
                log.warning("lease_out_of_sight", error=repr(error))
                await asyncio.sleep(_RETRY_SECONDS)
            await asyncio.sleep(_HURRY_SECONDS if self._clock() < self._hurry_until else _WATCH_SECONDS)

    async def keep(self) -> None:
        """Renew until another process has the lease, or this one gives it back."""
        while (held := self._held) is not None:
            began = self._clock()
            try:
                renewed = await self._bucket.replace(held, held.epoch, self.owner, self._answers_for())
                if renewed is not None:
                    self._held, self._renewal_began = self._see(renewed), began
                    await asyncio.sleep(RENEW_SECONDS - (self._clock() - began))
                else:
                    self._held = await self._mine(held)
            except BROKER_DOWN as error:
                log.warning("lease_not_renewed", epoch=held.epoch, error=repr(error))
                await asyncio.sleep(_RETRY_SECONDS)

    async def give_back(self, heir: str = "") -> None:
        """Be silent from now on, and let the next one take it at once: whoever comes first, or only the process called
        `heir`, unless that does not come. Call it when nobody renews any more.
        """
        held, self._held = self._held, None
        while held is not None:
            given = await self._bucket.replace(held, held.epoch, heir, self._answers_for())
            if given is not None:
                self._see(given)
                return
            held = await self._mine(held)

    async def _replace(self, entry: Entry) -> Entry | None:
        """Take the lease, unless somebody answers for one of the partitions under another stream's, or came first."""
        mine, others = self._answers_for(), await self._others()
        if any(other.keeps_from(self.owner, mine) for other in others):
            return None
        epoch = 1 + max((self._above_epoch, *(other.epoch for other in others)))
        return await self._bucket.replace(entry, epoch, self.owner, mine)

    async def _mine(self, held: Entry) -> Entry | None:
        """The entry, if it is still this process's: an earlier renewal arrived and its answer was lost, or what stands
        there is no process's and the lease has not run out.
        """
        entry = self._see(await self._bucket.read())
        if entry.owner == OVERWRITTEN and self.epoch() is not None:
            log.warning("lease_overwritten", epoch=held.epoch, revision=entry.revision)
            return held._replace(revision=entry.revision)
        return entry if (entry.epoch, entry.owner) == (held.epoch, held.owner) else None

    def _see(self, entry: Entry) -> Entry:
        self.entry = entry
        self._above_epoch = max(self._above_epoch, entry.epoch)
        return entry
