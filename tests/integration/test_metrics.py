"""What the running system says of itself: each number moves with what happened, and clients make no labels."""

import os
import subprocess
import sys

import pytest

from tests.support.client import client
from tests.support.ops import Metrics, Ops, ops_of
from tests.support.read_models import eventually, rows_of_request
from tests.support.system import RunningSystem
from wepeople_contracts.ids import new_id, new_key
from wepeople_embedded.services import START_ORDER

EVENTS = "/api/v1/ingest/events"


def event(**fields: str) -> dict[str, object]:
    return {"eventType": "deploy.shipped", "category": "code", "actor": {"externalId": "eng-17"}, **fields}


@pytest.fixture
def gateway(system: RunningSystem) -> Ops:
    return ops_of(system.services["gateway"])


@pytest.mark.parametrize("service", START_ORDER)
async def test_every_service_is_alive_and_ready_and_has_metrics(system: RunningSystem, service: str) -> None:
    ops = ops_of(system.services[service])
    assert (await ops.get("/healthz"))[0] == 200
    status, checks = await ops.ready()
    assert status == 200
    assert set(checks.values()) == {"ok"}
    metrics = await ops.metrics()
    assert {metrics.value("wepeople_ready", check=check) for check in checks} == {1.0}
    assert metrics.value("process_resident_memory_bytes") > 0


@pytest.mark.parametrize("service", START_ORDER)
async def test_errors_are_counted_from_zero_so_that_the_first_one_shows(system: RunningSystem, service: str) -> None:
    metrics = await ops_of(system.services[service]).metrics()
    assert metrics.labels("wepeople_log_lines_total", "level") >= {"info", "warning", "error", "critical"}


async def test_a_request_is_counted_by_route_and_status_and_its_rows_by_what_became_of_them(
    system: RunningSystem, gateway: Ops
) -> None:
    name = new_id("known")
    before = await gateway.metrics()
    async with client(system.gateway_url, system.api_key) as app:
        assert (await app.events([event(id=name), event(), event(eventType="not.allowed")])).status == 207
        assert (await app.events([event(id=name)])).status == 202
    after = await gateway.metrics()

    def grew(metric: str, **labels: str) -> float:
        return after.value(metric, **labels) - before.value(metric, **labels)

    assert grew("wepeople_http_requests_total", route=EVENTS, method="POST", status="207") == 1
    assert grew("wepeople_http_requests_total", route=EVENTS, method="POST", status="202") == 1
    assert grew("wepeople_http_request_seconds_count", route=EVENTS) == 2
    assert grew("wepeople_rows_total", outcome="accepted") == 2
    assert grew("wepeople_rows_total", outcome="duplicate") == 1
    assert grew("wepeople_rows_total", outcome="rejected") == 1
    assert grew("wepeople_verdicts_total", scope="granted") == 2
    assert grew("wepeople_publish_seconds_count") == 2


async def test_a_request_that_was_stored_before_adds_no_rows(system: RunningSystem, gateway: Ops) -> None:
    key = new_id("again")
    async with client(system.gateway_url, system.api_key) as app:
        assert (await app.events([event()], key)).status == 202
        before = await gateway.metrics()
        answer = await app.events([event()], key)
        assert answer.headers["Idempotent-Replayed"] == "true"
    after = await gateway.metrics()
    assert after.value("wepeople_rows_total", outcome="accepted") == before.value(
        "wepeople_rows_total", outcome="accepted"
    )


async def test_what_clients_make_up_becomes_no_label(system: RunningSystem, gateway: Ops) -> None:
    async with client(system.gateway_url, system.api_key) as app:
        await app.send("GET", "/made-up-by-a-client")
        await app.send("PROPFIND", "/events")
        await app.send("GET", "/requests/req_made-up")
    metrics = await gateway.metrics()
    labels = metrics.labels("wepeople_http_requests_total", "route")
    assert "/api/v1/ingest/requests/{request_id}" in labels
    assert not [label for label in labels if "made-up" in label]
    assert "PROPFIND" not in metrics.labels("wepeople_http_requests_total", "method")
    assert metrics.value("wepeople_http_requests_total", route="other", method="other", status="405") >= 1
    assert metrics.value("wepeople_http_requests_total", route="other", method="GET", status="404") >= 1


async def test_auth_counts_keys_by_what_it_found(system: RunningSystem) -> None:
    auth = ops_of(system.services["auth"])
    before = await auth.metrics()
    async with client(system.gateway_url, new_key()) as stranger:
        assert (await stranger.ping()).status == 401
    after = await auth.metrics()
    metric = "wepeople_authentications_total"
    assert after.value(metric, outcome="invalid_key") - before.value(metric, outcome="invalid_key") == 1


async def test_quota_and_the_projector_say_where_they_are(system: RunningSystem) -> None:
    quota, projector = ops_of(system.services["quota"]), ops_of(system.services["projector"])
    before = await projector.metrics()
    async with client(system.gateway_url, system.api_key) as app:
        request_id = (await app.events([event(), event()])).json()["requestId"]
    await rows_of_request(system.operator_dsn, request_id, 2)
    assert (await quota.metrics()).value("wepeople_quota_owner", stream="INGEST") == 1

    async def counted() -> float:
        metrics = await projector.metrics()
        return metrics.value("wepeople_projection_rows_total") - before.value("wepeople_projection_rows_total")

    await eventually(counted, lambda rows: rows >= 2, what="two rows counted")

    async def measured() -> Metrics:
        return await projector.metrics()

    stored = before.value("wepeople_stream_messages", stream="INGEST")
    after = await eventually(
        measured, lambda now: now.value("wepeople_stream_messages", stream="INGEST") > stored, what="one more stored"
    )
    assert after.value("wepeople_projection_lag_seconds") < 60
    assert after.value("wepeople_database_bytes") > 1_000_000


async def test_no_metric_has_a_key(system: RunningSystem) -> None:
    async with client(system.gateway_url, system.api_key) as app:
        assert (await app.ping()).status == 200
    for service in START_ORDER:
        _, told = await ops_of(system.services[service]).get("/metrics")
        assert system.api_key[8:20] not in told


def asked_by_a_container(port: int) -> int:
    command = [sys.executable, "-m", "wepeople_chassis.healthcheck"]
    environment = os.environ | {"WEPEOPLE_OPS_HOST": "0.0.0.0", "WEPEOPLE_OPS_PORT": str(port)}
    return subprocess.run(command, env=environment, capture_output=True, check=False).returncode


async def test_a_container_is_healthy_while_its_service_is_ready(gateway: Ops) -> None:
    assert asked_by_a_container(gateway.port) == 0
    assert asked_by_a_container(1) == 1
    assert asked_by_a_container(0) == 1
