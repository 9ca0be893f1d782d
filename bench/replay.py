"""Replay: how near to bare reading it comes, whether it is linear, and what it costs the live read models beside it."""

import asyncio
from dataclasses import dataclass
from statistics import median

import msgspec
from psycopg import AsyncConnection

from bench.backlog import Backlog
from bench.child import ask_child, running_child
from bench.commits import Look, rate_of_commits
from bench.figures import Bound, Finding, Tell, comparison, figure
from bench.ground import Ground, running_ground
from bench.plan import Plan
from bench.projector import empty_read_models
from bench.reading import ReadSpec
from bench.replayer import ReplayResult, ReplaySpec, What

SUBJECT = "replay"
READING_BOUND = Bound(0.5)
LINEAR_BOUND = Bound(0.75)
MEMORY_BOUND = Bound(512.0, at_least=False)
BESIDE_BOUND = Bound(0.9)
_SCHEMA = "bench_v1"
_SERVICES = ("gateway", "auth", "quota", "projector")
_LIMIT_SECONDS = 240.0
_SETTLE_SECONDS = 1.0
_LOOK_SECONDS = 0.05
_MEGABYTE = 1024 * 1024
_NO_OPS: tuple[tuple[What, str, Bound | None], ...] = (
    ("requests", "takes each request", READING_BOUND),
    ("events", "takes each event", None),
    ("workers", "takes each event and its worker", None),
)


async def measure_replay(plan: Plan, tell: Tell) -> list[Finding]:
    """One long backlog, of which each part reads as much as it needs."""
    async with (
        running_ground() as ground,
        await AsyncConnection.connect(ground.system.admin_dsn, autocommit=True) as database,
    ):
        for service in _SERVICES:
            await ground.stop(service)
        backlog = Backlog(ground.connection)
        await backlog.found()
        events = max(plan.reading_events, plan.replay_events[-1])
        tell(f"replay: {events:,} events into the stream")
        await backlog.grow(events)
        course = Course(ground, database, backlog, plan, tell)
        return [*await course.no_ops(), *await course.sizes(), *await course.beside()]


@dataclass(frozen=True, slots=True)
class Course:
    """The backlog, and what is done with it."""

    ground: Ground
    database: AsyncConnection
    backlog: Backlog
    plan: Plan
    tell: Tell

    async def no_ops(self) -> list[Finding]:
        """A projection that does nothing, against reading the same messages bare, in turns."""
        findings: list[Finding] = []
        for what, name, bound in _NO_OPS:
            # The fast one gets more to read, so that its beginning does not show, and more rounds: within one run they
            # lie between 0.45 and 0.66.
            is_fast = what == "requests"
            events = self.plan.reading_events if is_fast else self.plan.replay_events[-2]
            rounds = self.plan.reading_rounds if is_fast else self.plan.replay_rounds
            end = self.backlog.end_of(events)
            ours, bare = [], []
            for turn in range(1, rounds + 1):
                self.tell(f"replay, {name}: round {turn} of {rounds}")
                ours.append(events / (await self._replay(what, end)).seconds)
                read = ReadSpec(self.ground.system.nats.url, end)
                out = await ask_child("bench.reading", read, _LIMIT_SECONDS)
                bare.append(msgspec.json.decode(out, type=float) * events / end)
            words = f"no-op that {name}, against bare reading"
            findings.append(comparison(SUBJECT, words, "events/s", ours=ours, limit=bare, bound=bound))
        return findings

    async def sizes(self) -> list[Finding]:
        """The built-in read models from the start of the stream, to further and further ends."""
        rates: list[list[float]] = []
        peak = 0
        for events in self.plan.replay_events:
            # What is over in a second is measured more often than what takes minutes.
            rounds = self.plan.replay_rounds if events == self.plan.replay_events[0] else 1
            rates.append([])
            for turn in range(1, rounds + 1):
                self.tell(f"replay, built-in read models, {events:,} events: round {turn} of {rounds}")
                result = await self._replay("live", self.backlog.end_of(events))
                rates[-1].append(events / result.seconds)
                peak = max(peak, result.peak_bytes)
        shortest, longest = self.plan.replay_events[0], self.plan.replay_events[-1]
        words = f"built-in read models: {longest:,} events, against {shortest:,}"
        return [
            comparison(SUBJECT, words, "events/s", ours=rates[-1], limit=[median(rates[0])], bound=LINEAR_BOUND),
            *(
                figure(SUBJECT, f"built-in read models, {events:,} events", "events/s", of_size)
                for events, of_size in zip(self.plan.replay_events, rates, strict=True)
            ),
            figure(SUBJECT, "memory of the process at its most", "MiB", [peak / _MEGABYTE], MEMORY_BOUND),
        ]

    async def beside(self) -> list[Finding]:
        """The projector at full speed on the backlog, alone and beside a replay, in turns."""
        alone, beside = [], []
        for turn in range(1, self.plan.beside_rounds + 1):
            self.tell(f"replay beside live projection: round {turn} of {self.plan.beside_rounds}")
            alone.append(await self._live())
            spec = self._spec("live", None)
            async with running_child("bench.replayer", spec):
                await self._has_begun(spec.schema)
                beside.append(await self._live())
            await self._drop()
        words = "live projection beside a replay, against alone"
        return [comparison(SUBJECT, words, "events/s", ours=beside, limit=alone, bound=BESIDE_BOUND)]

    async def _replay(self, what: What, until: int) -> ReplayResult:
        await self.database.execute("CHECKPOINT")
        out = await ask_child("bench.replayer", self._spec(what, until), _LIMIT_SECONDS)
        await self._drop()
        return msgspec.json.decode(out, type=ReplayResult)

    def _spec(self, what: What, until: int | None) -> ReplaySpec:
        system = self.ground.system
        return ReplaySpec(nats_url=system.nats.url, dsn=system.admin_dsn, what=what, schema=_SCHEMA, until=until)

    async def _drop(self) -> None:
        await self.database.execute(f"DROP SCHEMA {_SCHEMA} CASCADE")

    async def _live(self) -> float:
        """Events per second that the projector applies, for some seconds, once it and who gives way to it know."""
        await empty_read_models(self.database)
        self.ground.system.services["projector"].start()
        try:
            await self._has_begun("live_v1")
            await asyncio.sleep(_SETTLE_SECONDS)
            clock = asyncio.get_running_loop().time
            until, looks = clock() + self.plan.beside_seconds, list[Look]()
            while clock() < until:
                looks.append(Look(clock(), await self._rows("live_v1")))
                await asyncio.sleep(_LOOK_SECONDS)
            return rate_of_commits(looks)
        finally:
            await self.ground.stop("projector")

    async def _has_begun(self, schema: str) -> None:
        async with asyncio.timeout(_LIMIT_SECONDS):
            while not await self._rows(schema):  # noqa: ASYNC110 - the table announces nothing
                await asyncio.sleep(0.02)

    async def _rows(self, schema: str) -> int:
        """Rows applied so far; 0 while there is no such schema."""
        found = await self.database.execute("SELECT to_regclass(%s) IS NOT NULL", [f"{schema}.checkpoint"])
        if await found.fetchone() != (True,):
            return 0
        row = await (await self.database.execute(f"SELECT sum(rows)::bigint FROM {schema}.checkpoint")).fetchone()
        return row[0] or 0 if row else 0
