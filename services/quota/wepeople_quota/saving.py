"""Saving the fold every few seconds, and once more at the end."""

import asyncio

from psycopg import OperationalError

from wepeople_chassis.logging import get_logger
from wepeople_quota.ledger import Ledger
from wepeople_quota.store import Store

log = get_logger(__name__)

_GIVE_UP_SECONDS = 10.0


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
            await self.once(_GIVE_UP_SECONDS)

    async def once(self, give_up_seconds: float) -> None:
        """Save what is in the ledger now; a failure is logged, `Fenced` is raised."""
        snapshot = self._ledger.snapshot()
        try:
            async with asyncio.timeout(give_up_seconds):
                await self._store.save(self._identity, snapshot)
        except (OperationalError, TimeoutError) as error:
            log.warning("not_saved", sequence=snapshot.position.sequence, error=str(error) or repr(error))
            return
        self._ledger.saved(snapshot)
