"""What a second owner of quota brings: the same questions to one process that owns two streams, and to two processes
with one each.

Nothing but quota is asked: no gateway, no projector. The one that asks takes a core of its own, so on two cores the
second owner has none; processor time per verdict says what it does elsewhere (docs/scale.md).
"""

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator

from bench.figures import Finding, Tell, comparison, figure
from bench.ground import Ground, cpu_seconds
from bench.plan import Plan
from wepeople_chassis.stream import stream_states
from wepeople_contracts.ids import message_id, new_id
from wepeople_contracts.quota import Reserve
from wepeople_contracts.subjects import PARTITIONS, reserve_subject
from wepeople_embedded.services import ServiceProcess
from wepeople_provision.stream_split import carry_out, splits_due
from wepeople_quota.bucket import Bucket

SUBJECT = "scale"
_AT_ONCE = 64
_ORGS = 4 * PARTITIONS
_SHARED_SECONDS = 60.0
_MICROSECONDS = 1e6


async def measure_owners(ground: Ground, twin: ServiceProcess, plan: Plan, tell: Tell) -> list[Finding]:
    """One owner of two streams, then two owners, in turns."""
    [split] = await splits_due(ground.connection, "INGEST", None)
    await carry_out(ground.connection, split)
    streams = [state.name for state in await stream_states(ground.connection)]
    only = ground.system.services["quota"]
    one: list[float] = []
    two, cpu = [], []
    questions = _questions()
    for turn in range(1, plan.scale_rounds + 1):
        tell(f"scale, owners of quota: round {turn} of {plan.scale_rounds}")
        await _owned_by(ground, streams, 1)
        used, asked = cpu_seconds(only.child.pid), len(one)
        one.append(await _per_second(ground, questions, plan.scale_seconds))
        cpu.append((cpu_seconds(only.child.pid) - used) / (one[asked] * plan.scale_seconds) * _MICROSECONDS)
        twin.start()
        await _owned_by(ground, streams, 2)
        two.append(await _per_second(ground, questions, plan.scale_seconds))
        await twin.stop()
    return [
        comparison(SUBJECT, "two owners of quota against one", "verdicts/s", ours=two, limit=one),
        figure(SUBJECT, "one owner of quota: its CPU", "µs/verdict", cpu),
    ]


async def _owned_by(ground: Ground, streams: list[str], processes: int) -> None:
    """Return once so many processes own the streams."""
    async with asyncio.timeout(_SHARED_SECONDS):
        while True:
            owners = {(await Bucket(ground.connection, stream).read()).owner for stream in streams}
            if "" not in owners and len(owners) == processes:
                return
            await asyncio.sleep(0.1)


def _questions() -> Iterator[tuple[str, bytes]]:
    """Subjects and requests without an end, of orgs of all partitions in turns."""
    orgs = [new_id("org") for _ in range(_ORGS)]
    for number in itertools.count():
        org = orgs[number % _ORGS]
        yield reserve_subject(org), _reserve(org, number)


def _reserve(org_id: str, number: int) -> bytes:
    request = Reserve(
        org_id=org_id,
        key_id=org_id,
        message_id=message_id("bench", "POST", "/owners", str(number)),
        units=1,
        key_limit=1_000_000,
        org_limit=1_000_000,
        month_limit=None,
    )
    return request.model_dump_json().encode()


async def _per_second(ground: Ground, questions: Iterator[tuple[str, bytes]], seconds: float) -> float:
    """Verdicts in a second."""
    answered = 0
    clock: Callable[[], float] = time.perf_counter
    began_at = clock()

    async def ask_on() -> None:
        nonlocal answered
        while clock() < began_at + seconds:
            await ground.connection.request(*next(questions), timeout=10)
            answered += 1

    await asyncio.gather(*(ask_on() for _ in range(_AT_ONCE)))
    return answered / (clock() - began_at)
