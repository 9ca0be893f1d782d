"""The count in Postgres, by partition: totals, the ids charged, and the position they belong to, always in one
transaction. In which stream a partition is makes no difference here.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, LiteralString

from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from wepeople_chassis.postgres import Pool, act_across_orgs
from wepeople_quota.count import BEGINNING, Account, ChargedIds, Position, Snapshot, oldest_period

_PURPOSE = "fold"

_READ_ALL = "SELECT partition, epoch, identity, sequence, message_id, stored_at_ns FROM quota.partitions"

_READ_POSITIONS = """
SELECT partition, epoch, sequence, message_id, stored_at_ns FROM quota.partitions
WHERE partition = ANY(%s) ORDER BY partition
"""

_READ_USAGE = """
SELECT kept.partition, org_id, kept.period, connection, units
FROM quota.org_usage AS kept, unnest(%s::smallint[], %s::text[]) AS since (partition, period)
WHERE kept.partition = since.partition AND kept.period >= since.period
"""

_READ_CHARGED = """
SELECT kept.partition, sequence, org_id, kept.period, digests
FROM quota.org_charged_ids AS kept, unnest(%s::smallint[], %s::text[]) AS since (partition, period)
WHERE kept.partition = since.partition AND kept.period >= since.period
"""

_WRITE_USAGE = """
INSERT INTO quota.org_usage (partition, org_id, period, connection, units)
SELECT * FROM unnest(%s::smallint[], %s::text[], %s::text[], %s::text[], %s::bigint[])
ON CONFLICT (partition, period, org_id, connection) DO UPDATE SET units = EXCLUDED.units
"""

_WRITE_CHARGED = """
INSERT INTO quota.org_charged_ids (partition, org_id, period, sequence, digests)
SELECT * FROM unnest(%s::smallint[], %s::text[], %s::text[], %s::bigint[], %s::bytea[])
"""

_FORGET_CHARGED = """
DELETE FROM quota.org_charged_ids AS kept
USING unnest(%s::smallint[], %s::text[]) AS since (partition, period)
WHERE kept.partition = since.partition AND kept.period < since.period
"""

_WRITE_POSITIONS = """
INSERT INTO quota.partitions (partition, epoch, identity, sequence, message_id, stored_at_ns)
SELECT partition, %s, %s, sequence, message_id, stored_at_ns
FROM unnest(%s::smallint[], %s::bigint[], %s::text[], %s::bigint[])
    AS new (partition, sequence, message_id, stored_at_ns)
ON CONFLICT (partition) DO UPDATE SET epoch = EXCLUDED.epoch, identity = EXCLUDED.identity,
    sequence = EXCLUDED.sequence, message_id = EXCLUDED.message_id, stored_at_ns = EXCLUDED.stored_at_ns,
    saved_at = now()
"""


class Fenced(Exception):
    """A process with a later epoch has saved: nothing was written."""

    def __init__(self, epoch: int, later: int) -> None:
        super().__init__(f"an owner of epoch {later} has saved, after this one of epoch {epoch}")


class DatabaseWentBack(Exception):
    """The database has lost what it had confirmed: only a process that begins from what it holds can count on."""

    def __init__(self, partition: int, found: int, after: int) -> None:
        super().__init__(
            f"quota.partitions has partition {partition} at {found}, but {after} was saved before; "
            "start quota again, and it counts on from what the database holds now"
        )


@dataclass(slots=True)
class Saved:
    """What an owner left of a partition: its epoch, of which stream, up to where, and what can still change of totals
    and ids.
    """

    epoch: int
    identity: str
    position: Position
    units: dict[Account, int] = field(default_factory=dict)
    charged: list[ChargedIds] = field(default_factory=list)


class Store:
    """Loads and saves; `psycopg.Error` as it comes."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def load(self) -> dict[int, Saved]:
        """What the last owners saved, by partition; nothing of one that nobody ever did."""
        async with self._pool.connection() as connection:
            await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            await act_across_orgs(connection, _PURPOSE)
            rows = await (await connection.execute(_READ_ALL)).fetchall()
            saved = {row[0]: Saved(row[1], row[2], Position(*row[3:])) for row in rows}
            since = _columns([(partition, oldest_period(one.position)) for partition, one in saved.items()], 2)
            for partition, *account, units in await (await connection.execute(_READ_USAGE, since)).fetchall():
                saved[partition].units[account[0], account[1], account[2]] = units
            cursor = await connection.execute(_READ_CHARGED, since, binary=True)
            for partition, *block in await cursor.fetchall():
                saved[partition].charged.append(ChargedIds(*block))
            return saved

    async def positions(self, after: Mapping[int, int]) -> dict[int, Position]:
        """How far somebody has saved each partition; `DatabaseWentBack` when that is before a sequence that was saved
        already.
        """
        async with self._pool.connection() as connection:
            found = await _read_positions(connection, _READ_POSITIONS, after)
            return {partition: position for partition, (_, position) in found.items()}

    async def save(self, epoch: int, identity: str, snapshots: Mapping[int, Snapshot]) -> dict[int, Position]:
        """Write the snapshots of partitions, but of those of which somebody has saved as much; how far the database is
        with each then.

        `Fenced` when a later epoch has saved one of them, `DatabaseWentBack` when it holds less than a snapshot builds
        upon.
        """
        async with self._pool.connection() as connection:
            await act_across_orgs(connection, _PURPOSE)
            after = {partition: snapshot.after for partition, snapshot in snapshots.items()}
            found = await _read_positions(connection, f"{_READ_POSITIONS} FOR UPDATE", after)
            if (later := max(saved_epoch for saved_epoch, _ in found.values())) > epoch:
                raise Fenced(epoch, later)
            positions = {partition: position for partition, (_, position) in found.items()}
            new = {p: one for p, one in snapshots.items() if one.position.sequence >= positions[p].sequence}
            await _save_usage(connection, new)
            await _save_charged(connection, new, positions)
            reached = {partition: one.position for partition, one in new.items()}
            rows = [(p, at.sequence, at.message_id, at.stored_at_ns) for p, at in reached.items()]
            await connection.execute(_WRITE_POSITIONS, (epoch, identity, *_columns(rows, 4)))
            return positions | reached


async def _read_positions(
    connection: AsyncConnection[TupleRow], statement: LiteralString, after: Mapping[int, int]
) -> dict[int, tuple[int, Position]]:
    found = dict.fromkeys(after, (0, BEGINNING))
    for row in await (await connection.execute(statement, (list(after),))).fetchall():
        found[row[0]] = (row[1], Position(*row[2:]))
    for partition, (_, position) in found.items():
        if position.sequence < after[partition]:
            raise DatabaseWentBack(partition, position.sequence, after[partition])
    return found


async def _save_usage(connection: AsyncConnection[TupleRow], snapshots: Mapping[int, Snapshot]) -> None:
    rows = [(p, *account, units) for p, one in snapshots.items() for account, units in one.units.items()]
    if rows:
        await connection.execute(_WRITE_USAGE, _columns(rows, 5))


async def _save_charged(
    connection: AsyncConnection[TupleRow], snapshots: Mapping[int, Snapshot], saved: Mapping[int, Position]
) -> None:
    """Append what was charged after what is saved, and drop the months that can no longer change.

    A snapshot may hold ids that are saved already, if the answer to its transaction was lost.
    """
    oldest = {partition: oldest_period(one.position) for partition, one in snapshots.items()}
    blocks: defaultdict[tuple[int, str, str, int], list[bytes]] = defaultdict(list)
    for partition, one in snapshots.items():
        for ids in one.charged:
            if ids.sequence > saved[partition].sequence and ids.period >= oldest[partition]:
                blocks[partition, ids.org_id, ids.period, one.position.sequence].append(ids.digests)
    if blocks:
        await connection.execute(_WRITE_CHARGED, _columns([(*key, b"".join(d)) for key, d in blocks.items()], 5))
    await connection.execute(_FORGET_CHARGED, _columns(list(oldest.items()), 2))


def _columns(rows: Sequence[Sequence[Any]], count: int) -> list[list[Any]]:
    """What `unnest` takes."""
    return [[row[at] for row in rows] for at in range(count)]
