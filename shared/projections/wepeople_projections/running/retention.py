"""Drops the months of tables that are older than they are to be kept: a decision about this database, by its clock or
the process's, whichever is behind. It is noted there (`kept`), so that whatever is built of the stream to be compared
with it leaves out the same.
"""

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime

import psycopg

from wepeople_chassis.logging import get_logger
from wepeople_chassis.postgres import Pool
from wepeople_projections.definition.month import first_kept
from wepeople_projections.definition.projection import Definition
from wepeople_projections.postgres.months import day_there, drop_pieces, kept_from, outdated
from wepeople_projections.postgres.waiting import wait_at_most
from wepeople_projections.postgres.write import will_pass

log = get_logger(__name__)

LOOK_SECONDS = 3600.0
RETRY_SECONDS = 15.0
LOCK_SECONDS = 0.3
"""Readers that come now wait as long for those that were there before, then they go first."""


def firsts(definition: Definition, keep_days: int | None, today: date) -> Mapping[str, date]:
    """Of each table that is not kept for ever, the first day that is. `keep_days` is for tables that do not say so
    themselves.
    """
    found = {}
    for spec in definition.tables:
        days = keep_days if spec.keep_days is None else spec.keep_days
        if spec.by_month is not None and days is not None and (first := first_kept(today, days)):
            found[spec.name] = first
    return found


class Retention:
    """Of one version, for as long as it runs; several processes may do it at once. `overdue` is told how many months
    should be gone and are not: 0 once all are.
    """

    def __init__(
        self,
        pool: Pool,
        definition: Definition,
        keep_days: int | None,
        overdue: Callable[[int], object] = lambda _: None,
        today: Callable[[], date] = lambda: datetime.now(UTC).date(),
    ) -> None:
        self._pool = pool
        self._definition = definition
        self._keep_days = keep_days
        self._overdue = overdue
        self._today = today

    async def run(self) -> None:
        """Until cancelled, also where all is kept for ever; `psycopg.Error` for what another try would not mend."""
        rest_seconds = 0.0
        while True:
            await asyncio.sleep(rest_seconds)
            rest_seconds = LOOK_SECONDS if await self.drop() else RETRY_SECONDS

    async def drop(self) -> bool:
        """Drop what is too old; False when somebody held it, so that it is to be tried again."""
        schema = self._definition.schema
        try:
            async with self._pool.connection() as connection:
                today = min(self._today(), await day_there(connection))
                wanted = firsts(self._definition, self._keep_days, today)
                left = await outdated(connection, schema, wanted)
                kept = await kept_from(connection, schema)
            self._overdue(len(left))
            if all(kept.get(table, date.min) >= first for table, first in wanted.items()) and not left:
                return True
            async with self._pool.connection() as connection:
                await wait_at_most(connection, LOCK_SECONDS)
                gone = await drop_pieces(connection, schema, wanted)
        except psycopg.Error as error:
            if not will_pass(error):
                raise
            log.warning("months_not_dropped", schema=schema, error=str(error))
            return False
        for table, piece in gone:
            log.info("month_dropped", schema=schema, table=table, month=piece.month.name, size_bytes=piece.size_bytes)
        self._overdue(0)
        return True
