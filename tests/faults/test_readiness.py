"""While something that a service needs is away it says so, by its readiness and its metrics, and comes back by itself;
it is alive all the while.
"""

import math

from tests.support.breakable import Breakable
from tests.support.client import client
from tests.support.ops import log_lines, ops_of
from tests.support.read_models import eventually
from wepeople_embedded.services import START_ORDER

EVENT = {"eventType": "deploy.shipped", "category": "code", "actor": {"externalId": "eng-17"}}


async def says(breakable: Breakable, service: str, status: int, **checks: str) -> None:
    """Wait until `/readyz` has this status, and these checks begin so."""
    ops = ops_of(breakable.system.services[service])

    def holds(answer: tuple[int, dict[str, str]]) -> bool:
        return answer[0] == status and all(answer[1][name].startswith(begin) for name, begin in checks.items())

    await eventually(ops.ready, holds, within_seconds=30, what=f"{service}: {status} {checks}")


async def test_while_postgres_is_away_whoever_needs_it_is_not_ready_and_all_are_alive(breakable: Breakable) -> None:
    await breakable.system.postgres.stop()
    try:
        for service in ("auth", "quota", "projector"):
            await says(breakable, service, 503, postgres="", nats="ok", jetstream="ok")
        await says(breakable, "gateway", 200)
        auth, projector = (ops_of(breakable.system.services[name]) for name in ("auth", "projector"))
        assert (await auth.metrics()).value("wepeople_ready", check="postgres") == 0
        assert math.isnan((await auth.metrics()).value("wepeople_outbox_facts"))
        assert math.isnan((await projector.metrics()).value("wepeople_projection_lag_seconds"))
        for service in START_ORDER:
            assert (await ops_of(breakable.system.services[service]).get("/healthz"))[0] == 200
    finally:
        await breakable.mend()
    for service in START_ORDER:
        await says(breakable, service, 200)


async def test_while_nats_is_away_nobody_is_ready_and_all_are_alive(breakable: Breakable) -> None:
    await breakable.system.nats.stop()
    try:
        for service in START_ORDER:
            await says(breakable, service, 503, nats="not connected")
            assert (await ops_of(breakable.system.services[service]).get("/healthz"))[0] == 200
    finally:
        await breakable.mend()
    for service in START_ORDER:
        await says(breakable, service, 200)


async def test_what_passes_without_quota_is_counted_and_its_line_says_whose_it_was(breakable: Breakable) -> None:
    gateway = breakable.system.services["gateway"]
    caller = await breakable.operator.caller()
    async with client(breakable.system.gateway_url, caller.token) as api:
        assert (await api.ping()).status == 200
        before = (await ops_of(gateway).metrics()).value("wepeople_fail_open_total", dependency="quota")
        await breakable.system.services["quota"].kill()
        try:
            answer = await api.events([EVENT])
        finally:
            await breakable.mend()
    assert answer.status == 202
    after = (await ops_of(gateway).metrics()).value("wepeople_fail_open_total", dependency="quota")
    assert after - before == 1
    [line] = [
        line
        for line in log_lines(gateway.child.log_path)
        if line["event"] == "quota_away_fail_open" and line["request_id"] == answer.headers["X-Request-Id"]
    ]
    assert line["org_id"] == caller.org_id
