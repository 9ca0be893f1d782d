"""Saving the count of a stream's partitions every few seconds, and once more at the end."""

import asyncio

from psycopg import OperationalError

from wepeople_chassis.logging import get_logger
from wepeople_quota.fold import Fold
from wepeople_quota.lease import Lease
from wepeople_quota.store import Fenced, Store

log = get_logger(__name__)


class Saving:
    """Writes what changed in the counts; verdicts never wait for it.

    While Postgres is away the changes stay in memory, and in the stream.
    """

    def __init__(self, store: Store, fold: Fold, lease: Lease) -> None:
        self._store = store
        self._fold = fold
        self._lease = lease

    async def keep(self, every_seconds: float) -> None:
        """For ever: the owner saves, a standby asks how far it has; `DatabaseWentBack` is raised.

        So is `Fenced`, by an owner whose lease still holds: its epoch began anew, because the bucket was lost.
        """
        while True:
            await asyncio.sleep(every_seconds)
            epoch, partitions = self._lease.epoch(), self._fold.partitions
            try:
                if epoch is None:
                    await self._look()
                else:
                    await self.once(epoch)
            except Fenced:
                # Of a partition that left with a split meanwhile, another owner may have saved since.
                if self._lease.epoch() is not None and self._fold.partitions == partitions:
                    raise
            except OperationalError as error:
                log.warning("not_saved", sequence=self._fold.through, error=str(error))

    async def once(self, epoch: int) -> None:
        """Save what is counted now; `Fenced` or `OperationalError`. Waits as long as Postgres hangs."""
        counts = {partition: ledger.count for partition, ledger in self._fold.ledgers.items()}
        snapshots = {partition: count.snapshot() for partition, count in counts.items() if count.unsaved > 0}
        if snapshots:
            for partition, position in (await self._store.save(epoch, self._fold.identity, snapshots)).items():
                counts[partition].saved(position)

    async def _look(self) -> None:
        counts = {partition: ledger.count for partition, ledger in self._fold.ledgers.items()}
        after = {partition: count.saved_sequence for partition, count in counts.items()}
        for partition, position in (await self._store.positions(after)).items():
            counts[partition].saved(position)
