"""The gateway against the bare limit: the same bodies, by the same generator, into the same nats-server, in turns."""

from msgspec.structs import replace

from bench import bare
from bench.figures import Bound, Finding, Tell, comparison, figure
from bench.ground import Ground, cpu_seconds, running_bare, running_ground
from bench.load import LoadResult, LoadSpec, run_load
from bench.plan import Plan, Shape

SUBJECT = "gateway"
WARM_SECONDS = 0.3

RATIO_BOUNDS = {500: Bound(0.15, aim=0.3), 1: Bound(0.5)}
CPU_BOUND = Bound(12.0, aim=6.0, at_least=False)
_MICROSECONDS = 1e6


def spec_of(shape: Shape, ground: Ground) -> LoadSpec:
    """The load of a shape on the gateway."""
    return LoadSpec(
        port=ground.gateway_port,
        token=ground.token,
        connections=shape.connections,
        seconds=shape.seconds,
        warm_seconds=0.0 if shape.requests else WARM_SECONDS,
        requests=shape.requests,
        rows=shape.rows,
        bodies=shape.bodies,
        metadata_bytes=shape.metadata_bytes,
    )


async def measure_gateway(plan: Plan, tell: Tell) -> list[Finding]:
    """Every shape's ratio and the processor time of a row; auth and quota run, the projector is stopped."""
    async with running_ground() as ground, running_bare(ground) as bare_port:
        await ground.stop("projector")
        findings: list[Finding] = []
        for shape in plan.shapes:
            findings += await _measure_shape(shape, ground, bare_port, tell)
        return findings


async def _measure_shape(shape: Shape, ground: Ground, bare_port: int, tell: Tell) -> list[Finding]:
    ours, limits = [], []
    cpu: list[float] = []
    quota_cpu: list[float] = []
    generator: list[float] = []
    spec = spec_of(shape, ground)
    gateway, quota = (ground.system.services[name].child.pid for name in ("gateway", "quota"))
    for number in range(1, shape.rounds + 1):
        tell(f"gateway, {shape.name}: round {number} of {shape.rounds}")
        before, quota_before = cpu_seconds(gateway), cpu_seconds(quota)
        result = await run_load(spec)
        cpu.append((cpu_seconds(gateway) - before) / result.rows * _MICROSECONDS)
        quota_cpu.append((cpu_seconds(quota) - quota_before) / result.rows * _MICROSECONDS)
        ours.append(result.per_second)
        limit = await run_load(replace(spec, port=bare_port, path=bare.PATH))
        limits.append(limit.per_second)
        generator.append(_generator_share(limit))
    is_guides_own = shape.metadata_bytes == 0
    bound = RATIO_BOUNDS[shape.rows] if is_guides_own else None
    cpu_bound = CPU_BOUND if is_guides_own and shape.rows > 1 else None
    findings: list[Finding] = [
        comparison(SUBJECT, shape.name, "requests/s", ours=ours, limit=limits, bound=bound),
        figure(SUBJECT, f"{shape.name}: CPU of the gateway", "µs/row", cpu, cpu_bound),
    ]
    if is_guides_own:
        findings.append(figure(SUBJECT, f"{shape.name}: CPU of quota", "µs/row", quota_cpu))
        name = f"{shape.name}: CPU of the load generator, at the bare limit"
        findings.append(figure(SUBJECT, name, "% of a core", generator))
    return findings


def _generator_share(result: LoadResult) -> float:
    return 100 * result.cpu_seconds / (result.last_answer_at - result.first_sent_at)
