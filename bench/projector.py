"""The projector on a prepared backlog, against a bare binary COPY of the same final rows, in turns."""

import asyncio
import time
from dataclasses import dataclass

from psycopg import AsyncConnection, sql

from bench.copying import BareCopy
from bench.figures import Bound, Finding, Tell, comparison
from bench.ground import Ground, running_ground
from bench.load import LoadSpec, run_load
from bench.plan import Plan
from wepeople_chassis.stream import stream_of
from wepeople_contracts.subjects import partition_of

SUBJECT = "projector"
BOUND = Bound(0.4)
ROWS = 500
BODIES = 20
_POLL_SECONDS = 0.002
_BACKLOG_SECONDS = 120.0


async def measure_projector(plan: Plan, tell: Tell) -> list[Finding]:
    """Two backlogs: of an org's usual people, and of nothing but strangers, each of whom becomes a worker."""
    findings: list[Finding] = []
    half = plan.backlog_requests // 2
    for name, requests, bodies, rounds, bound in (
        (f"{BODIES * ROWS:,} people", plan.backlog_requests, BODIES, plan.projector_rounds, BOUND),
        ("every event of a stranger", half, half, plan.strangers_rounds, None),
    ):
        async with (
            running_ground() as ground,
            await AsyncConnection.connect(ground.system.admin_dsn, autocommit=True) as database,
        ):
            await ground.stop("projector")
            tell(f"projector, {name}: {requests * ROWS:,} events into the stream")
            await run_load(_backlog(ground, requests, bodies))
            findings += await _rounds(Rounds(ground, database, name, rounds), bound, tell)
    return findings


def _backlog(ground: Ground, requests: int, bodies: int) -> LoadSpec:
    return LoadSpec(
        port=ground.gateway_port,
        token=ground.token,
        connections=8,
        seconds=_BACKLOG_SECONDS,
        requests=requests,
        rows=ROWS,
        bodies=bodies,
    )


@dataclass(frozen=True, slots=True)
class Rounds:
    """One backlog: where it is, what it is called, how often it is projected."""

    ground: Ground
    database: AsyncConnection
    name: str
    rounds: int


async def _rounds(of: Rounds, bound: Bound | None, tell: Tell) -> list[Finding]:
    ours: list[float] = []
    row_writer: list[float] = []
    ready_bytes: list[float] = []
    bare: BareCopy | None = None
    for number in range(1, of.rounds + 1):
        tell(f"projector, {of.name}: round {number} of {of.rounds}")
        ours.append(await _project(of.ground, of.database))
        if bare is None:
            bare = await asyncio.to_thread(BareCopy, of.ground.system.admin_dsn)
        row_writer.append(await asyncio.to_thread(bare.copy_rows))
        ready_bytes.append(await asyncio.to_thread(bare.copy_ready_bytes))
    return [
        comparison(SUBJECT, f"{of.name}, against COPY row by row", "rows/s", ours=ours, limit=row_writer, bound=bound),
        comparison(SUBJECT, f"{of.name}, against COPY of ready-made bytes", "rows/s", ours=ours, limit=ready_bytes),
    ]


async def _project(ground: Ground, database: AsyncConnection) -> float:
    """Empty the read models, start the projector; rows/s of the timeline from its first commit to its last.

    What came with the first commit does not count, nor does the time until then: that is the process's start.
    """
    await empty_read_models(database)
    end = (await stream_of(ground.connection, partition_of(ground.org_id))).last_sequence
    partition = partition_of(ground.org_id)
    query = "SELECT sequence FROM live_v1.checkpoint WHERE partition = %s"
    # Messages of the org's founding come before those of the requests.
    first_at, first_sequence, sequence = 0.0, 0, 0
    ground.system.services["projector"].start()
    try:
        async with asyncio.timeout(_BACKLOG_SECONDS):
            while sequence < end:
                row = await (await database.execute(query, [partition], prepare=True)).fetchone()
                sequence = row[0] if row else 0
                if sequence and not first_sequence:
                    first_at, first_sequence = time.monotonic(), sequence
                await asyncio.sleep(_POLL_SECONDS)
        seconds = time.monotonic() - first_at
    finally:
        await ground.stop("projector")
    return (end - first_sequence) * ROWS / seconds


async def empty_read_models(database: AsyncConnection) -> None:
    """Empty all tables of `live_v1`: whoever runs it begins at the stream's first message."""
    query = "SELECT tablename FROM pg_tables WHERE schemaname = 'live_v1' AND tablename <> 'about'"
    tables = [sql.Identifier("live_v1", name) for (name,) in await (await database.execute(query)).fetchall()]
    await database.execute(sql.SQL("TRUNCATE {}").format(sql.SQL(", ").join(tables)))
    await database.execute("CHECKPOINT")
