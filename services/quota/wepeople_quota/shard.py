"""What a process does for one stream: it folds it, stands by to answer for its partitions or does, and saves."""

import asyncio
import gc
from dataclasses import dataclass

from psycopg import OperationalError

from wepeople_chassis.broker import BROKER_DOWN
from wepeople_chassis.logging import get_logger
from wepeople_chassis.stream import StreamError, StreamState
from wepeople_chassis.tasks import run_together
from wepeople_quota.bucket import Entry
from wepeople_quota.fold import Fold
from wepeople_quota.lease import Lease
from wepeople_quota.ownership import Ownership
from wepeople_quota.patience import patiently
from wepeople_quota.saving import Saving
from wepeople_quota.store import Fenced

log = get_logger(__name__)


@dataclass(slots=True)
class Shard:
    """One stream's part of a process."""

    stream: str
    fold: Fold
    lease: Lease
    ownership: Ownership
    saving: Saving
    remember_seconds: float
    save_seconds: float
    could_answer: bool = False
    """Whether the stream was read to its end once; from then on the fold keeps up."""

    @property
    def partitions(self) -> frozenset[int]:
        """Those that the stream takes."""
        return self.fold.partitions

    @property
    def entry(self) -> Entry | None:
        """What is known of the stream's lease."""
        return self.lease.entry

    @property
    def is_owned(self) -> bool:
        """Whether this process answers for the stream's partitions."""
        return self.lease.epoch() is not None

    async def live(self, state: StreamState) -> None:
        """For ever, from the stream as it is; `StreamError`, `Fenced` or `DatabaseWentBack` when it must not go on."""
        await patiently(lambda: self.fold.recall(remember_seconds=self.remember_seconds))
        log.info("standby", stream=self.stream, partitions=sorted(self.partitions), until=state.last_sequence)
        await run_together(
            asyncio.create_task(self.fold.follow()),
            asyncio.create_task(self._answer(state)),
            asyncio.create_task(self.saving.keep(self.save_seconds)),
        )

    async def hand_over(self, heir: str) -> bool:
        """Let a process have the stream; whether it was there and ready."""
        return await self.ownership.hand_over(heir)

    async def leave(self) -> None:
        """Hand over for good, and save what was counted. The fold must go on meanwhile, as the last requests in flight
        are stored.
        """
        epoch = self.lease.epoch()
        if epoch is None:
            return
        try:
            await self.ownership.hand_over()
        except (StreamError, *BROKER_DOWN) as error:
            log.warning("not_handed_over", stream=self.stream, error=repr(error))
        try:
            await self.saving.once(epoch)
        except (Fenced, OperationalError) as error:
            log.warning("not_saved", stream=self.stream, error=str(error))

    async def _answer(self, state: StreamState) -> None:
        await self.fold.reach(state.last_sequence)
        self.could_answer = True
        # What was built so far is never garbage: a collection must not walk through it while a verdict waits.
        gc.freeze()
        await self.ownership.live()
