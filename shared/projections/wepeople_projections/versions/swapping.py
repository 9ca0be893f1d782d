"""Puts one version in the place of another, so that no reader sees an error or anything older than before.

The version that serves is held still for a moment: its checkpoint is locked, which no reader notices. The other comes
up to where it stands, and takes its place in the same transaction.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from psycopg import AsyncConnection, errors

from wepeople_chassis.postgres import Pool
from wepeople_projections.definition.naming import REBUILD, REPLACED
from wepeople_projections.errors import ProjectionError
from wepeople_projections.postgres.about import read_about
from wepeople_projections.postgres.months import drop_pieces, keep_makers_out, kept_from
from wepeople_projections.postgres.views import point_views, serve, serving_version
from wepeople_projections.postgres.waiting import wait_at_most
from wepeople_projections.running.ownership import session_connection
from wepeople_projections.versions.control import Reached, checkpoints, statement

LOCK_SECONDS = 0.3
"""Readers that come now wait as long as the swap waits for those that were there before. It is much less than Postgres'
`deadlock_timeout` (1 s): where a reader has locked the views in another order, the swap gives way before the reader is
made to.
"""
ATTEMPTS = 60
PAUSE_SECONDS = 0.5
CATCH_UP_SECONDS = 10.0
LOOK_SECONDS = 0.1

Bring = Callable[[AsyncConnection[Any]], Awaitable[None]]


class LockedOutError(ProjectionError):
    """Readers or writers hold what must be locked for the swap, and did not let go of it."""


class LeftBehindError(ProjectionError):
    """The version that should serve does not come up to the one that serves."""


async def promote(pool: Pool, name: str, schema: str, serving: str | None) -> None:
    """Let readers see `schema` instead of `serving` (None: nothing yet), once it is as far as that.

    `LeftBehindError` when it is not within some seconds, `LockedOutError` when a long query is in the way.
    """

    async def swap(connection: AsyncConnection[Any]) -> None:
        if serving is not None:
            await connection.execute(statement("hold_still", serving))
            await _until_reached(pool, schema, await checkpoints(connection, serving))
        now = await serving_version(connection, name)
        if serving != (now and f"{name}_v{now}"):
            raise LeftBehindError(f"Somebody else has promoted another version of {name} meanwhile. Run this again")
        await serve(connection, name, schema)

    await _patiently(pool, swap)


async def put_in_place(pool: Pool, name: str, schema: str, bring: Bring) -> None:
    """Put what was rebuilt in the place of a version; `bring` brings it up to where that stands now. What is replaced
    is left under another name, for the caller to drop.

    Raises what `bring` raises, or `LockedOutError`.
    """
    rebuilt, replaced = f"{schema}{REBUILD}", f"{schema}{REPLACED}"

    async def swap(connection: AsyncConnection[Any]) -> None:
        await connection.execute(statement("hold_still", schema))
        await bring(connection)
        serves = (await read_about(connection, schema)).serving_since is not None
        await connection.execute(statement("keep_state", schema, rebuilt=rebuilt))
        await keep_makers_out(connection, schema)
        await drop_pieces(connection, rebuilt, await kept_from(connection, schema))
        await connection.execute(statement("move_aside", schema, replaced=replaced))
        await connection.execute(statement("move_in", schema, rebuilt=rebuilt))
        if serves:
            await point_views(connection, name, schema)

    await _patiently(pool, swap)


async def _patiently(pool: Pool, swap: Bring) -> None:
    """Swap in one transaction, and again when a lock could not be had: it must not make readers queue behind it."""
    async with session_connection(pool) as connection:
        for attempt in range(ATTEMPTS):
            try:
                async with connection.transaction():
                    await wait_at_most(connection, LOCK_SECONDS)
                    await swap(connection)
                    return
            except (errors.LockNotAvailable, errors.DeadlockDetected) as error:
                if attempt == ATTEMPTS - 1:
                    raise LockedOutError(
                        "A long query or transaction holds the tables. Wait until it has ended, and run this again"
                    ) from error
            await asyncio.sleep(PAUSE_SECONDS)


async def _until_reached(pool: Pool, schema: str, wanted: Mapping[int, Reached]) -> None:
    """Wait until a version that somebody runs has all that the other has applied."""
    clock = asyncio.get_running_loop().time
    until = clock() + CATCH_UP_SECONDS
    while True:
        async with pool.connection() as connection:
            reached = await checkpoints(connection, schema)
        behind = [p for p, line in wanted.items() if p not in reached or _is_behind(reached[p], line)]
        if not behind:
            return
        if clock() > until:
            raise LeftBehindError(
                f"{schema} does not come up to the version that serves. Is it running, or does it end before (--to)? "
                "`wepeople projection status` shows it; run it, and promote it again"
            )
        await asyncio.sleep(LOOK_SECONDS)


def _is_behind(reached: Reached, wanted: Reached) -> bool:
    """Positions in a stream that is not there any more are no measure for one in the present one."""
    return reached.stream_identity == wanted.stream_identity and reached.sequence < wanted.message_sequence
