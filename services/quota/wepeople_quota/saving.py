"""Saving the fold every few seconds, and once more at the end."""

import asyncio

from psycopg import OperationalError

from wepeople_chassis.logging import get_logger
from wepeople_quota.ledger import Ledger
from wepeople_quota.store import Store

log = get_logger(__name__)


class Saving:
    """Writes what changed in a ledger of the stream called `identity`; verdicts never wait for it."""

    def __init__(self, store: Store, ledger: Ledger, identity: str) -> None:
        self._store = store
        self._ledger = ledger
        self._identity = identity

    async def keep(self, every_seconds: float) -> None:
        """Save for ever, also when nothing changed: that is how a process learns that another took over (`Fenced`).

        While Postgres is away the changes stay in memory, and in the stream.
        """
        while True:
            await asyncio.sleep(every_seconds)
            await self.once()

    async def once(self) -> None:
        """Save what is in the ledger now; a failure is logged, `Fenced` is raised. Waits as long as Postgres hangs."""
        snapshot = self._ledger.count.snapshot()
        try:
            await self._store.save(self._identity, snapshot)
        except OperationalError as error:
            log.warning("not_saved", sequence=snapshot.position.sequence, error=str(error))
            return
        self._ledger.count.saved(snapshot.position)
