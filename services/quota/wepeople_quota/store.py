"""The fold in Postgres: totals, the ids charged, and the position they belong to, always in one transaction."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import LiteralString

from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from wepeople_chassis.postgres import Pool, act_across_orgs
from wepeople_contracts.subjects import STREAMS
from wepeople_quota.count import BEGINNING, Account, ChargedIds, OrgPeriod, Position, Snapshot, oldest_period

_PURPOSE = "fold"

_READ_POSITION = "SELECT sequence, message_id, stored_at_ns, epoch FROM quota.checkpoint WHERE stream = %s"

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
INSERT INTO quota.checkpoint (stream, identity, sequence, message_id, stored_at_ns, epoch)
VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT (stream) DO UPDATE SET identity = EXCLUDED.identity, sequence = EXCLUDED.sequence,
    message_id = EXCLUDED.message_id, stored_at_ns = EXCLUDED.stored_at_ns, epoch = EXCLUDED.epoch, saved_at = now()
"""


class Fenced(Exception):
    """A process with a later epoch has saved: nothing was written."""

    def __init__(self, epoch: int, later: int) -> None:
        super().__init__(f"an owner of epoch {later} has saved, after this one of epoch {epoch}")


class DatabaseWentBack(Exception):
    """The database has lost what it had confirmed: only a process that begins from what it holds can count on."""

    def __init__(self, found: int, after: int) -> None:
        super().__init__(
            f"quota.checkpoint stands at {found}, but {after} was saved before; "
            "start quota again, and it counts on from what the database holds now"
        )


@dataclass(frozen=True, slots=True)
class Saved:
    """What an owner left: its epoch, of which stream, up to where, and what can still change of totals and ids."""

    epoch: int
    identity: str
    position: Position
    units: dict[Account, int]
    charged: list[ChargedIds]


class Store:
    """Loads and saves; `psycopg.Error` as it comes."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def load(self) -> Saved | None:
        """What the last owner saved; None when nobody ever did."""
        async with self._pool.connection() as connection:
            await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            await act_across_orgs(connection, _PURPOSE)
            cursor = await connection.execute(
                "SELECT sequence, message_id, stored_at_ns, epoch, identity FROM quota.checkpoint WHERE stream = %s",
                (STREAMS[0],),
            )
            row = await cursor.fetchone()
            if row is None:
                return None
            position = Position(row[0], row[1], row[2])
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
            return Saved(row[3], row[4], position, units, [ChargedIds(*r) for r in await cursor.fetchall()])

    async def position(self, after: int) -> Position:
        """How far somebody has saved; `DatabaseWentBack` when that is before a sequence that was saved already."""
        async with self._pool.connection() as connection:
            position, _ = await _read_position(connection, _READ_POSITION, after)
            return position

    async def save(self, epoch: int, identity: str, snapshot: Snapshot) -> Position:
        """Write a snapshot, unless somebody has saved as much; how far the database is then.

        `Fenced` when a later epoch has saved, `DatabaseWentBack` when it holds less than the snapshot builds upon.
        """
        position = snapshot.position
        async with self._pool.connection() as connection:
            await act_across_orgs(connection, _PURPOSE)
            saved, last_epoch = await _read_position(connection, f"{_READ_POSITION} FOR UPDATE", snapshot.after)
            if last_epoch > epoch:
                raise Fenced(epoch, last_epoch)
            if saved.sequence > position.sequence:
                return saved
            if snapshot.units:
                orgs, periods, connections = zip(*snapshot.units, strict=True)
                units = list(snapshot.units.values())
                await connection.execute(_WRITE_USAGE, (list(orgs), list(periods), list(connections), units))
            await _save_charged(connection, position, snapshot.charged, after=saved.sequence)
            await connection.execute(
                _WRITE_CHECKPOINT,
                (STREAMS[0], identity, position.sequence, position.message_id, position.stored_at_ns, epoch),
            )
            return position


async def _read_position(
    connection: AsyncConnection[TupleRow], statement: LiteralString, after: int
) -> tuple[Position, int]:
    row = await (await connection.execute(statement, (STREAMS[0],))).fetchone()
    position, epoch = (Position(row[0], row[1], row[2]), int(row[3])) if row else (BEGINNING, 0)
    if position.sequence < after:
        raise DatabaseWentBack(position.sequence, after)
    return position, epoch


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
