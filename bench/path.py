"""The whole path: events/s until the last row is visible, processor time by process, and accepted -> visible lag."""

import asyncio
import time
from collections import defaultdict
from itertools import pairwise
from statistics import median

from psycopg import AsyncConnection

from bench.figures import Bound, Finding, Tell, figure
from bench.ground import Ground, running_ground
from bench.lag import Observation, lags
from bench.load import LoadResult, LoadSpec, run_load
from bench.plan import Plan
from bench.statistic import percentile
from wepeople_chassis.stream import stream_of
from wepeople_chassis.tasks import end
from wepeople_contracts.subjects import partition_of

SUBJECT = "whole path"
LAG_SUBJECT = "lag"
ROWS = 500
CONNECTIONS = 8
EVENTS_BOUND = Bound(None, aim=40_000)
LAG_BOUND = Bound(500.0, at_least=False)
POLL_SECONDS = 0.002
_VISIBLE_SECONDS = 120.0
_MICROSECONDS, _MILLISECONDS = 1e6, 1e3


class Watcher:
    """Reads from the database how far the read models are: the checkpoint moves in the transaction of the rows."""

    def __init__(self, database: AsyncConnection, ground: Ground) -> None:
        self._database = database
        self._ground = ground
        self.observations: list[Observation] = []

    async def watch(self) -> None:
        """Note the checkpoint every `POLL_SECONDS`, until cancelled."""
        while True:
            sequence = await self.checkpoint()
            self.observations.append(Observation(time.monotonic(), sequence))
            await asyncio.sleep(POLL_SECONDS)

    async def checkpoint(self) -> int:
        """The last sequence whose rows anybody can read."""
        query = "SELECT sequence FROM live_v1.checkpoint WHERE partition = %s"
        found = await self._database.execute(query, [partition_of(self._ground.org_id)], prepare=True)
        row = await found.fetchone()
        return row[0] if row else 0

    async def wait_for_all(self) -> float:
        """When everything that is in the stream now can be read (monotonic seconds)."""
        end = (await stream_of(self._ground.connection, partition_of(self._ground.org_id))).last_sequence
        async with asyncio.timeout(_VISIBLE_SECONDS):
            while await self.checkpoint() < end:  # noqa: ASYNC110 - the table announces nothing
                await asyncio.sleep(POLL_SECONDS)
        return time.monotonic()

    async def count(self) -> int:
        """Rows of the timeline."""
        row = await (await self._database.execute("SELECT count(*) FROM live.timeline")).fetchone()
        assert row is not None
        return int(row[0])

    async def sequences(self) -> dict[str, int]:
        """Where in the stream each request is."""
        found = await self._database.execute("SELECT request_id, sequence FROM live.timeline WHERE row_index = 0")
        return dict(await found.fetchall())


def load_spec(ground: Ground, seconds: float, **changes: float | bool) -> LoadSpec:
    """Requests of 500 of the guide's events, as fast as they are answered unless `per_second` says otherwise."""
    return LoadSpec(
        port=ground.gateway_port,
        token=ground.token,
        connections=CONNECTIONS,
        seconds=seconds,
        rows=ROWS,
        **changes,  # type: ignore[arg-type]
    )


async def measure_path(plan: Plan, tell: Tell) -> list[Finding]:
    """Saturate it, then measure the lag at half of that."""
    async with (
        running_ground() as ground,
        await AsyncConnection.connect(ground.system.operator_dsn, autocommit=True) as database,
    ):
        watcher = Watcher(database, ground)
        rates: list[float] = []
        accepted: list[float] = []
        drains: list[float] = []
        cpu: dict[str, float] = defaultdict(float)
        sent = 0
        for turn in range(1, plan.path_rounds + 1):
            tell(f"whole path, as fast as it goes: round {turn} of {plan.path_rounds}")
            before = ground.cpu_seconds()
            result = await run_load(load_spec(ground, plan.path_seconds))
            visible_at = await watcher.wait_for_all()
            after = ground.cpu_seconds()
            for name in after:
                cpu[name] += after[name] - before[name]
            cpu["load generator"] += result.cpu_seconds
            sent += result.rows
            rates.append(result.rows / (visible_at - result.first_sent_at))
            accepted.append(result.per_second * ROWS)
            drains.append(visible_at - result.last_answer_at)
        if (found := await watcher.count()) != sent:
            raise AssertionError(f"{sent} events were accepted, but {found} are in live.timeline")
        findings: list[Finding] = [
            figure(SUBJECT, "until every event is visible", "events/s", rates, EVENTS_BOUND),
            figure(SUBJECT, "accepted meanwhile", "events/s", accepted),
            figure(SUBJECT, "last answer to last row visible", "s", drains),
            *(
                figure(SUBJECT, f"CPU of {name}", "µs/event", [seconds / sent * _MICROSECONDS])
                for name, seconds in sorted(cpu.items(), key=lambda item: -item[1])
            ),
        ]
        tell("accepted to visible, at half of that rate")
        return findings + await _measure_lag(ground, watcher, median(rates) / 2, plan.lag_seconds)


async def _measure_lag(ground: Ground, watcher: Watcher, events_per_second: float, seconds: float) -> list[Finding]:
    watching = asyncio.create_task(watcher.watch())
    spec = load_spec(ground, seconds, per_second=events_per_second / ROWS, record=True)
    try:
        result: LoadResult = await run_load(spec)
        await watcher.wait_for_all()
        await asyncio.sleep(10 * POLL_SECONDS)  # the watcher's own look at the end
    finally:
        await end([watching])
    found = lags(result.accepted, await watcher.sequences(), watcher.observations)
    gaps = [b.at - a.at for a, b in pairwise(watcher.observations)]
    at_rate = f"at {events_per_second:,.0f} events/s"
    milliseconds = {p: percentile(found, p) * _MILLISECONDS for p in (50, 99, 100)}
    of_all = f"slowest of {len(found)} requests"
    return [
        figure(LAG_SUBJECT, f"accepted to visible {at_rate}, p50", "ms", [milliseconds[50]]),
        figure(LAG_SUBJECT, f"accepted to visible {at_rate}, p99", "ms", [milliseconds[99]], LAG_BOUND),
        figure(LAG_SUBJECT, f"accepted to visible {at_rate}, {of_all}", "ms", [milliseconds[100]]),
        figure(LAG_SUBJECT, "request to answer meanwhile, p50", "ms", [result.p50_seconds * _MILLISECONDS]),
        figure(LAG_SUBJECT, "request to answer meanwhile, p99", "ms", [result.p99_seconds * _MILLISECONDS]),
        figure(LAG_SUBJECT, "between two looks at the table, p99", "ms", [percentile(gaps, 99) * _MILLISECONDS]),
    ]
