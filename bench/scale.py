"""What a second process of a part brings, and what many orgs cost: where to turn when one machine is not enough.

On a machine of two cores the second process takes its time from the rest of the system, so its ratio says what is left
to gain *here*; processor time per event says what to expect elsewhere (docs/scale.md).
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from psycopg import AsyncConnection

from bench.backlog import Backlog
from bench.figures import Finding, Tell, comparison, figure
from bench.ground import Ground, cpu_seconds, running_ground
from bench.load import LoadSpec, run_load
from bench.owners import measure_owners
from bench.plan import Plan
from bench.projector import empty_read_models
from wepeople_contracts.subjects import PARTITIONS
from wepeople_embedded.ports import free_port
from wepeople_embedded.services import START_ORDER, ServiceProcess, make_services

SUBJECT = "scale"
_PEOPLE = 20
"""Of each org: few, so that founding a thousand orgs' workers does not hide what the orgs themselves cost."""

_LIMIT_SECONDS = 120.0
_POLL_SECONDS = 0.01
_MICROSECONDS = 1e6


async def measure_scale(plan: Plan, tell: Tell) -> list[Finding]:
    """Gateways, owners of quota and projectors, one and two; then the same events of ever more orgs."""
    findings: list[Finding] = []
    async with running_ground() as ground:
        port = free_port()
        async with second(ground, port) as twins:
            await ground.stop("projector")
            findings += await _gateways(ground, twins["gateway"], port, plan, tell)
            findings += await measure_owners(ground, twins["quota"], plan, tell)
    for orgs in plan.scale_orgs:
        async with (
            running_ground() as ground,
            await AsyncConnection.connect(ground.system.admin_dsn, autocommit=True) as database,
            second(ground, free_port()) as twins,
        ):
            await ground.stop("projector")
            backlog = Backlog(ground.connection, orgs=orgs, people=_PEOPLE)
            await backlog.found()
            tell(f"scale: {plan.scale_events:,} events of {orgs:,} orgs into the stream")
            await backlog.grow(plan.scale_events)
            course = Course(ground, database, twins["projector"], backlog.end_of(plan.scale_events), plan, tell)
            findings += await course.of_orgs(orgs)
            if orgs == PARTITIONS:
                findings += await course.two_against_one()
    return findings


@asynccontextmanager
async def second(ground: Ground, gateway_port: int) -> AsyncIterator[dict[str, ServiceProcess]]:
    """Another process of each service, not started; whichever runs is stopped at the end."""
    system = ground.system
    logs = ground.state.logs / "second"
    logs.mkdir()
    twins = make_services(
        nats_url=system.nats.url,
        seeds={name: system.nats_address(name).seed or "" for name in START_ORDER},
        admin_dsn=system.admin_dsn,
        passwords=system.passwords,
        gateway_port=gateway_port,
        logs=logs,
    )
    try:
        yield twins
    finally:
        for twin in twins.values():
            await twin.stop()


async def _gateways(ground: Ground, twin: ServiceProcess, port: int, plan: Plan, tell: Tell) -> list[Finding]:
    """Small requests, of which the gateway's processor time is nearly all: one gateway, then two, in turns."""
    one, two = [], []
    for turn in range(1, plan.scale_rounds + 1):
        tell(f"scale, gateways: round {turn} of {plan.scale_rounds}")
        one.append((await run_load(_small(ground, ground.gateway_port, plan))).per_second)
        twin.start()
        await _listens(port)
        both = await asyncio.gather(
            run_load(_small(ground, ground.gateway_port, plan)), run_load(_small(ground, port, plan))
        )
        two.append(sum(result.per_second for result in both))
        await twin.stop()
    words = "two gateways against one, 1 row a request"
    return [comparison(SUBJECT, words, "requests/s", ours=two, limit=one)]


def _small(ground: Ground, port: int, plan: Plan) -> LoadSpec:
    return LoadSpec(
        port=port, token=ground.token, connections=32, seconds=plan.scale_seconds, warm_seconds=0.3, rows=1, bodies=1000
    )


async def _listens(port: int) -> None:
    async with asyncio.timeout(_LIMIT_SECONDS):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(_POLL_SECONDS)
            else:
                writer.close()
                return


@dataclass(frozen=True, slots=True)
class Course:
    """A backlog, and the projectors that build the read models of it."""

    ground: Ground
    database: AsyncConnection
    twin: ServiceProcess
    end: int
    plan: Plan
    tell: Tell

    async def of_orgs(self, orgs: int) -> list[Finding]:
        """One projector on the events of so many orgs."""
        rates: list[float] = []
        cpu: list[float] = []
        projector = self.ground.system.services["projector"]
        for turn in range(1, self.plan.scale_rounds + 1):
            self.tell(f"scale, {orgs:,} orgs: round {turn} of {self.plan.scale_rounds}")
            rates.append(await self._project([projector], cpu))
        return [
            figure(SUBJECT, f"one projector, {orgs:,} orgs", "events/s", rates),
            figure(SUBJECT, f"one projector, {orgs:,} orgs: its CPU", "µs/event", cpu),
        ]

    async def two_against_one(self) -> list[Finding]:
        """The same backlog by one projector and by two, in turns."""
        one, two = [], []
        projector = self.ground.system.services["projector"]
        for turn in range(1, self.plan.scale_rounds + 1):
            self.tell(f"scale, projectors: round {turn} of {self.plan.scale_rounds}")
            one.append(await self._project([projector], []))
            two.append(await self._project([projector, self.twin], []))
        return [comparison(SUBJECT, "two projectors against one", "events/s", ours=two, limit=one)]

    async def _project(self, projectors: list[ServiceProcess], cpu: list[float]) -> float:
        """Build from empty; events/s from the first commit to the last."""
        await empty_read_models(self.database)
        for projector in projectors:
            projector.start()
        loop = asyncio.get_running_loop()
        first_at, first, rows = 0.0, 0, 0
        try:
            async with asyncio.timeout(_LIMIT_SECONDS):
                while rows < self.plan.scale_events:
                    rows = await self._rows()
                    if rows and not first:
                        first_at, first = loop.time(), rows
                    await asyncio.sleep(_POLL_SECONDS)
            seconds = loop.time() - first_at
            used = sum(cpu_seconds(projector.child.pid) for projector in projectors)
            cpu.append(used / self.plan.scale_events * _MICROSECONDS)
        finally:
            for projector in projectors:
                await projector.stop()
        return (self.plan.scale_events - first) / seconds

    async def _rows(self) -> int:
        row = await (await self.database.execute("SELECT sum(rows)::bigint FROM live_v1.checkpoint")).fetchone()
        return row[0] or 0 if row else 0
