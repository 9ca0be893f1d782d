"""One release after another, under load: each service is replaced one container at a time, and no request fails.

There are two of each service (profile `double`). The clients know both gateways, as a balancer before them would: a
request that a gateway does not take, or of which the connection breaks, is tried again at the next one under the same
Idempotency-Key. Anything else than an answer 202 to each request in the end is a failure.
"""

import asyncio
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.support.client import Answer, Client, client
from tests.support.compose import SERVICES, Compose, DockerFailed, docker
from tests.support.deployment import FOLDER, VERSION, Deployment
from tests.support.load import Load, RequestMaker
from tests.support.operators import operators
from tests.support.read_models import query
from tests.support.system import RunningSystem
from tests.support.verdict import read_timeline, wait_for_usage, wait_until_applied

RATE = 40.0
NEXT = "next"
ROLLOUT = ("quota", "projector", "auth", "gateway")
"""Who reads what is stored goes before who writes it."""
RETRYABLE = {"429", "503"}


class EitherGateway(Client):
    """A client of both gateways: each attempt goes to the next one."""

    def __init__(self, clients: Sequence[Client]) -> None:
        self._turns = itertools.cycle(clients)

    async def send(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        return await next(self._turns).send(method, path, body, headers)


@pytest.fixture
async def double(deployment: Deployment) -> Compose:
    """Two of each service. It stays so, on the next release: no older one works with what a rollout has finished."""
    compose = replace(deployment.compose, profiles=("double",)).with_(WEPEOPLE_GATEWAYS="2")
    await compose("up", "--wait")
    return compose


async def make_next_images() -> None:
    """Images of another release, from those of this one."""
    for name in (*SERVICES, "provision"):
        whence = f"IMAGE=wepeople/{name}:{VERSION}"
        await docker("build", "--quiet", "--build-arg", whence, "--tag", f"wepeople/{name}:{NEXT}", str(FOLDER / NEXT))


async def probe(deployment: Deployment) -> list[str]:
    """What of the next release's change is in the database: nothing, its first half (`YES`, nullable), or all."""
    statement = "SELECT is_nullable FROM information_schema.columns WHERE column_name = 'upgrade_probe'"
    return [row["is_nullable"] for row in await query(deployment.admin_dsn, statement)]


async def roll_out(deployment: Deployment, compose: Compose) -> None:
    """What docs/upgrade.md says, step by step."""
    assert await probe(deployment) == []
    await compose("run", "--rm", "provision")
    assert await probe(deployment) == ["YES"]
    for service in ROLLOUT:
        for container in (service, f"{service}-2"):
            await compose("up", "--detach", "--no-deps", "--wait", container)
            assert (await compose.inspect(container))["Config"]["Image"] == f"wepeople/{service}:{NEXT}"
    await compose("run", "--rm", "provision", "provision", "--after-rollout")
    assert await probe(deployment) == ["NO"]
    with pytest.raises(DockerFailed, match="A newer release has finished its rollout on this database"):
        await compose.with_(WEPEOPLE_VERSION=VERSION)("run", "--rm", "provision")


async def test_every_service_is_upgraded_under_load_without_a_failed_request(
    deployment: Deployment, system: RunningSystem, double: Compose
) -> None:
    await make_next_images()
    first, second = deployment.gateway_urls
    async with operators(system.nats_url) as operator:
        caller = await operator.caller()
        async with client(first, caller.token) as one, client(second, caller.token) as two:
            load = Load(EitherGateway([one, two]), RequestMaker(seed=1), RATE, give_up_seconds=30)
            stop = asyncio.Event()
            loading = asyncio.create_task(load.run(stop))
            try:
                await roll_out(deployment, double.with_(WEPEOPLE_VERSION=NEXT))
            finally:
                stop.set()
                await loading
            await wait_until_applied(one, system.operator_dsn)
        timeline = await read_timeline(system.operator_dsn, caller.org_id)
        findings = load.ledger.compare_events((marker, event_id) for event_id, marker, *_ in timeline)
        print(f"{len(load.ledger.sent)} requests, {load.begun_per_second:.0f}/s; answers {dict(load.answers)}")
        assert load.ledger.refused == {}
        assert load.ledger.unknown == []
        assert findings.all() == {}
        answered = {answer.removesuffix("r") for answer in load.answers if answer[0].isdigit()}
        assert answered - RETRYABLE == {"202"}
        assert load.begun_per_second > RATE / 2
        await wait_for_usage(operator, caller.org_id, len(timeline) + 1)
