"""The fold in Postgres: totals and the position they belong to, always in one transaction."""

from dataclasses import dataclass

from wepeople_chassis.postgres import Pool
from wepeople_contracts.subjects import STREAM
from wepeople_quota.ledger import Position, Snapshot, oldest_period
from wepeople_quota.ownership import Fenced

_HELD = "SELECT 1 FROM quota.ownership WHERE epoch = %s FOR SHARE"

_WRITE_USAGE = """
INSERT INTO quota.usage (org_id, period, units)
SELECT * FROM unnest(%s::text[], %s::text[], %s::bigint[])
ON CONFLICT (period, org_id) DO UPDATE SET units = EXCLUDED.units
"""

_WRITE_CHECKPOINT = """
INSERT INTO quota.checkpoint (stream, identity, sequence, message_id, stored_at_ns) VALUES (%s, %s, %s, %s, %s)
ON CONFLICT (stream) DO UPDATE SET identity = EXCLUDED.identity, sequence = EXCLUDED.sequence,
    message_id = EXCLUDED.message_id, stored_at_ns = EXCLUDED.stored_at_ns, saved_at = now()
"""


@dataclass(frozen=True, slots=True)
class Saved:
    """What an owner left: of which stream, up to where, and the totals (org, period, units) that can still change."""

    identity: str
    position: Position
    usage: list[tuple[str, str, int]]


class Store:
    """Loads and saves for one owner; `psycopg.Error` as it comes."""

    def __init__(self, pool: Pool, epoch: int) -> None:
        self._pool = pool
        self._epoch = epoch

    async def load(self) -> Saved | None:
        """What the last owner saved; None when nobody ever did."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(
                "SELECT identity, sequence, message_id, stored_at_ns FROM quota.checkpoint WHERE stream = %s", (STREAM,)
            )
            row = await cursor.fetchone()
            if row is None:
                return None
            position = Position(row[1], row[2], row[3])
            cursor = await connection.execute(
                "SELECT org_id, period, units FROM quota.usage WHERE period >= %s", (oldest_period(position),)
            )
            return Saved(row[0], position, [(org, period, units) for org, period, units in await cursor.fetchall()])

    async def save(self, identity: str, snapshot: Snapshot) -> None:
        """Write a snapshot; `Fenced`, and nothing is written, when another process has taken over."""
        position = snapshot.position
        async with self._pool.connection() as connection:
            cursor = await connection.execute(_HELD, (self._epoch,))
            if await cursor.fetchone() is None:
                raise Fenced(self._epoch)
            if snapshot.changed:
                orgs, periods = zip(*snapshot.changed, strict=True)
                await connection.execute(_WRITE_USAGE, (list(orgs), list(periods), list(snapshot.changed.values())))
            await connection.execute(
                _WRITE_CHECKPOINT,
                (STREAM, identity, position.sequence, position.message_id, position.stored_at_ns),
            )
