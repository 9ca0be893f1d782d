"""Builds a version anew beside itself from the whole stream, and puts it in its own place."""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Protocol

import msgspec
from psycopg import AsyncConnection, errors

from wepeople_chassis.stream import takers
from wepeople_contracts.subjects import PARTITIONS
from wepeople_projections.commands.load import Loaded
from wepeople_projections.definition.naming import REBUILD, REPLACED
from wepeople_projections.errors import ProjectionError
from wepeople_projections.postgres.about import About, OnPoison, read_about, schemas
from wepeople_projections.postgres.ddl import create_schema, drop_schema
from wepeople_projections.postgres.months import drop_pieces, kept_from
from wepeople_projections.postgres.waiting import wait_at_most
from wepeople_projections.replay.building import Workplace, build
from wepeople_projections.running.options import RunOptions
from wepeople_projections.versions.control import (
    Reached,
    by_partition,
    checkpoints,
    execute,
    rows_aside,
    skipped_rows,
    statement,
)
from wepeople_projections.versions.swapping import put_in_place

NEAR_SECONDS = 2.0
"""A round that was over so soon has left so little behind that the rest can be done while the old one stands still."""
REST_SECONDS = 10.0
"""The old one stands still no longer than that."""
POLITE_ROUNDS = 10
MAX_ROUNDS = 20
DROP_SECONDS = 5.0
AGAIN = "Nothing was changed for its readers. Run this again, which goes on where it stopped"


class RebuildError(ProjectionError):
    """What was decided about the version meanwhile does not fit what was built."""


class Bring(Protocol):
    """Brings what is built up to positions of the old version; `what` stands before the bar."""

    async def __call__(self, positions: Mapping[int, Reached], what: str | None, *, gives_way: bool) -> None:
        """Raises what building raises."""


async def rebuild(place: Workplace, code: Loaded, schema: str, on_poison: OnPoison) -> int:
    """Build `schema` anew and put it in its place; how many rows were applied to it.

    What an earlier, interrupted one has built is gone on with, if the code and the rows that are skipped are the same,
    and nothing was parked that this one has to stop at.
    `PoisonFound` at a row that cannot be applied when `on_poison` is stop; what was built before it stays. What was
    replaced is left for `drop_replaced`.
    """
    rebuilt = f"{schema}{REBUILD}"
    async with place.pool.connection() as connection:
        about = await read_about(connection, schema)
        await _check_dependents(connection, about, schema)
        skipped = await skipped_rows(connection, schema)
        await wait_at_most(connection, DROP_SECONDS)
        await drop_schema(connection, f"{schema}{REPLACED}")
        await _begin(connection, code, about, rebuilt, on_poison)
    options = RunOptions(selection=about.selection, on_poison=on_poison, skipped=by_partition(skipped))

    async def bring(positions: Mapping[int, Reached], what: str | None, *, gives_way: bool) -> None:
        until = await _ends(place, positions)
        await build(place, code.definition, rebuilt, replace(options, until=until, gives_way=gives_way), what)

    await _come_near(place, schema, bring)

    async def bring_the_rest(connection: AsyncConnection[Any]) -> None:
        if await skipped_rows(connection, schema) != skipped:
            raise RebuildError(f"Rows of {schema} were skipped while it was built. Run this again, which begins anew")
        try:
            async with asyncio.timeout(REST_SECONDS):
                await bring(await checkpoints(connection, schema), None, gives_way=False)
        except TimeoutError as error:
            raise RebuildError(f"What {schema} wrote last takes too long to build. {AGAIN}") from error

    await put_in_place(place.pool, about.name, schema, bring_the_rest)
    async with place.pool.connection() as connection:
        return sum(line.rows for line in (await checkpoints(connection, schema)).values())


async def drop_replaced(place: Workplace, schema: str) -> None:
    """Drop what a rebuild has replaced. Where somebody reads it yet, the next rebuild, or drop, takes it away."""
    with suppress(errors.LockNotAvailable):
        async with place.pool.connection() as connection:
            await wait_at_most(connection, DROP_SECONDS)
            await drop_schema(connection, f"{schema}{REPLACED}")


async def _come_near(place: Workplace, schema: str, bring: Bring) -> None:
    """Build round after round, each what was written during the one before, until a round is short. The last ones give
    way to nobody, or they might never be; `RebuildError` when that does not help.
    """
    for round_number in range(MAX_ROUNDS):
        begun = time.monotonic()
        async with place.pool.connection() as connection:
            positions = await checkpoints(connection, schema)
        what = None if round_number else f"rebuild {schema}"
        await bring(positions, what, gives_way=round_number < POLITE_ROUNDS)
        if time.monotonic() < begun + NEAR_SECONDS:
            return
    raise RebuildError(f"{schema} is written to faster than it can be built. {AGAIN}")


async def _check_dependents(connection: AsyncConnection[Any], about: About, schema: str) -> None:
    """`RebuildError` where views of somebody else stand on the tables: they would stay on those that are replaced."""
    found = await execute(connection, "dependents", schema, of=[schema, f"{schema}{REPLACED}"], served=about.name)
    if found:
        views = ", ".join(line["name"] for line in found)
        raise RebuildError(
            f"{views} would go on to show what is replaced, because it stands on the tables of {schema} itself. Drop "
            f"it, or let it read from {about.name}, and run this again"
        )


async def _begin(
    connection: AsyncConnection[Any], code: Loaded, about: About, rebuilt: str, on_poison: OnPoison
) -> None:
    """Make the schema, unless there is one of an earlier rebuild that can be gone on with."""
    schema = rebuilt.removesuffix(REBUILD)
    if rebuilt in await schemas(connection):
        earlier = await read_about(connection, rebuilt)
        same = (earlier.code_sha256, earlier.tables_sha256) == (code.code_sha256, about.tables_sha256)
        parked = on_poison == "stop" and await rows_aside(connection, rebuilt)
        if same and not parked and await skipped_rows(connection, rebuilt) == await skipped_rows(connection, schema):
            return
        await drop_schema(connection, rebuilt)
    new = msgspec.structs.replace(
        about, source=code.source, code_sha256=code.code_sha256, paused=False, serving_since=None
    )
    await create_schema(connection, code.definition, rebuilt, new)
    await drop_pieces(connection, rebuilt, await kept_from(connection, schema))
    for name in ("take_over_messages", "take_over_skipped"):
        await connection.execute(statement(name, rebuilt, from_schema=schema))


async def _ends(place: Workplace, positions: Mapping[int, Reached]) -> dict[int, int]:
    """Where the old version is; of a stream that is not there any more, all that the present one has."""
    streams = await takers(place.stream)
    reached = {
        partition: line.sequence
        if line.stream_identity == streams[partition].identity
        else streams[partition].last_sequence
        for partition, line in positions.items()
    }
    return dict.fromkeys(range(PARTITIONS), 0) | reached
