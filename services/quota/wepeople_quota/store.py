"""The fold in Postgres: totals, the ids charged, and the position they belong to, always in one transaction."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from wepeople_chassis.postgres import Pool
from wepeople_contracts.subjects import STREAM
from wepeople_quota.count import Account, ChargedIds, OrgPeriod, Position, Snapshot, oldest_period
from wepeople_quota.ownership import Fenced

_HELD = "SELECT 1 FROM quota.ownership WHERE epoch = %s FOR SHARE"

_SAVED = "SELECT sequence FROM quota.checkpoint WHERE stream = %s FOR UPDATE"

_READ_CHARGED = "SELECT sequence, org_id, period, digests FROM quota.charged_ids WHERE period >= %s"

_WRITE_USAGE = """
INSERT INTO quota.usage (org_id, period, connection, units)
SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::bigint[])
ON CONFLICT (period, org_id, connection) DO UPDATE SET units = EXCLUDED.units
"""

_WRITE_CHARGED = """
INSERT INTO quota.charged_ids (org_id, period, sequence, digests)
SELECT org_id, period, %s, digests FROM unnest(%s::text[], %s::text[], %s::bytea[]) AS new (org_id, period, digests)
"""

_WRITE_CHECKPOINT = """
INSERT INTO quota.checkpoint (stream, identity, sequence, message_id, stored_at_ns) VALUES (%s, %s, %s, %s, %s)
ON CONFLICT (stream) DO UPDATE SET identity = EXCLUDED.identity, sequence = EXCLUDED.sequence,
    message_id = EXCLUDED.message_id, stored_at_ns = EXCLUDED.stored_at_ns, saved_at = now()
"""


@dataclass(frozen=True, slots=True)
class Saved:
    """What an owner left: of which stream, up to where, and what can still change of totals and ids."""

    identity: str
    position: Position
    units: dict[Account, int]
    charged: list[ChargedIds]


class Store:
    """Loads and saves for one owner; `psycopg.Error` as it comes."""

    def __init__(self, pool: Pool, epoch: int) -> None:
        self._pool = pool
        self._epoch = epoch

    async def load(self) -> Saved | None:
        """What the last owner saved; None when nobody ever did."""
        async with self._pool.connection() as connection:
            await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            cursor = await connection.execute(
                "SELECT identity, sequence, message_id, stored_at_ns FROM quota.checkpoint WHERE stream = %s", (STREAM,)
            )
            row = await cursor.fetchone()
            if row is None:
                return None
            position = Position(row[1], row[2], row[3])
            oldest = (oldest_period(position),)
            cursor = await connection.execute(
                "SELECT org_id, period, connection, units FROM quota.usage WHERE period >= %s", oldest
            )
            units = {(r[0], r[1], r[2]): r[3] for r in await cursor.fetchall()}
            cursor = await connection.execute(
                "SELECT sequence, org_id, period, digests FROM quota.charged_ids WHERE period >= %s",
                oldest,
                binary=True,
            )
            return Saved(row[0], position, units, [ChargedIds(*r) for r in await cursor.fetchall()])

    async def save(self, identity: str, snapshot: Snapshot) -> None:
        """Write a snapshot; `Fenced`, and nothing is written, when another process has taken over."""
        position = snapshot.position
        async with self._pool.connection() as connection:
            cursor = await connection.execute(_HELD, (self._epoch,))
            if await cursor.fetchone() is None:
                raise Fenced(self._epoch)
            row = await (await connection.execute(_SAVED, (STREAM,))).fetchone()
            if snapshot.units:
                orgs, periods, connections = zip(*snapshot.units, strict=True)
                units = list(snapshot.units.values())
                await connection.execute(_WRITE_USAGE, (list(orgs), list(periods), list(connections), units))
            await _save_charged(connection, position, snapshot.charged, after=row[0] if row else 0)
            await connection.execute(
                _WRITE_CHECKPOINT,
                (STREAM, identity, position.sequence, position.message_id, position.stored_at_ns),
            )


async def _save_charged(
    connection: AsyncConnection[TupleRow], position: Position, charged: Iterable[ChargedIds], *, after: int
) -> None:
    """Append what was charged after a sequence, and drop the months that can no longer change.

    A snapshot may hold ids that are saved already, if the answer to its transaction was lost.
    """
    blocks: defaultdict[OrgPeriod, list[bytes]] = defaultdict(list)
    oldest = oldest_period(position)
    for ids in charged:
        if ids.sequence > after and ids.period >= oldest:
            blocks[ids.org_id, ids.period].append(ids.digests)
    if blocks:
        orgs, periods = zip(*blocks, strict=True)
        joined = [b"".join(digests) for digests in blocks.values()]
        await connection.execute(_WRITE_CHARGED, (position.sequence, list(orgs), list(periods), joined))
    await connection.execute("DELETE FROM quota.charged_ids WHERE period < %s", (oldest,))
