"""Saving the fold every few seconds, and once more at the end."""

import asyncio

from psycopg import OperationalError

from wepeople_chassis.logging import get_logger
from wepeople_quota.count import Count
from wepeople_quota.lease import Lease
from wepeople_quota.store import Fenced, Store

log = get_logger(__name__)


class Saving:
    """Writes what changed in the count of the stream called `identity`; verdicts never wait for it.

    While Postgres is away the changes stay in memory, and in the stream.
    """

    def __init__(self, store: Store, count: Count, lease: Lease, identity: str) -> None:
        self._store = store
        self._count = count
        self._lease = lease
        self._identity = identity

    async def keep(self, every_seconds: float) -> None:
        """For ever: the owner saves, a standby asks how far it has; `DatabaseWentBack` is raised.

        So is `Fenced`, by an owner whose lease still holds: its epoch began anew, because the bucket was lost.
        """
        while True:
            await asyncio.sleep(every_seconds)
            epoch = self._lease.epoch()
            try:
                if epoch is None:
                    self._count.saved(await self._store.position(self._count.saved_sequence))
                else:
                    await self.once(epoch)
            except Fenced:
                if self._lease.epoch() is not None:
                    raise
            except OperationalError as error:
                log.warning("not_saved", sequence=self._count.position.sequence, error=str(error))

    async def once(self, epoch: int) -> None:
        """Save what is counted now; `Fenced` or `OperationalError`. Waits as long as Postgres hangs."""
        self._count.saved(await self._store.save(epoch, self._identity, self._count.snapshot()))
