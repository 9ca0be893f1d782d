"""Makes the months of tables before rows of them are written: in a transaction of its own, so that nobody who makes the
same ones waits for a whole batch.
"""

from wepeople_chassis.postgres import Pool
from wepeople_projections.batch.changes import Changes
from wepeople_projections.batch.months import months_of
from wepeople_projections.definition.month import Month
from wepeople_projections.postgres.months import make_pieces
from wepeople_projections.postgres.waiting import wait_at_most

LOCK_SECONDS = 2.0


class Months:
    """Those that are known to be there, or dropped: of each version by the number of its checkpoint's table, because
    the version that takes the place of another need not have the same.
    """

    def __init__(self) -> None:
        self._known: set[tuple[int, str, Month]] = set()

    async def make(self, pool: Pool, schema: str, version: int, changes: Changes) -> None:
        """Make those of a batch that are missing; `psycopg.Error` when that cannot be done now."""
        found = {(version, spec.name, month) for spec, months in months_of(changes).items() for month in months}
        if not (new := found - self._known):
            return
        wanted = {table: {month for _, name, month in new if name == table} for _, table, _ in new}
        async with pool.connection() as connection:
            await wait_at_most(connection, LOCK_SECONDS)
            await make_pieces(connection, schema, wanted)
        self._known |= new
