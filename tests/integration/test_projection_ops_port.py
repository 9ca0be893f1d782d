"""A projection of one's own, kept running by something, says how it is: on a port, if it was given one."""

import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.analyst import Analyst, analyst_of
from tests.support.fresh import Fresh
from tests.support.ops import Metrics, Ops
from tests.support.read_models import eventually
from wepeople_embedded.ports import HOST, free_port


@pytest.fixture
async def analyst(fresh: Fresh, tmp_path: Path) -> AsyncIterator[Analyst]:
    async with analyst_of(fresh, tmp_path) as ready:
        yield ready


async def scraped(ops: Ops) -> Metrics | None:
    """None while nobody listens."""
    try:
        return await ops.metrics()
    except OSError:
        return None


async def test_it_is_alive_and_ready_and_counts_what_it_applied(
    analyst: Analyst, monkeypatch: pytest.MonkeyPatch
) -> None:
    ops = Ops(free_port())
    monkeypatch.setenv("WEPEOPLE_OPS_PORT", str(ops.port))
    await analyst.store(4)

    def says(metrics: Metrics, name: str) -> float:
        return metrics.value(f"wepeople_own_projection_{name}", schema="deploys_v1")

    async with analyst.running("run", analyst.write()):
        applied = await eventually(
            lambda: scraped(ops),
            lambda metrics: metrics is not None and says(metrics, "rows") >= 12,
            what="twelve rows counted",
        )
        assert applied is not None
        assert [says(applied, name) for name in ("lag_messages", "lag_seconds", "parked")] == [0, 0, 0]
        assert (await ops.get("/healthz"))[0] == 200
        status, checks = await ops.ready()
        assert (status, set(checks)) == (200, {"service", "nats", "jetstream", "postgres"})


async def test_what_it_has_not_applied_yet_is_its_lag(analyst: Analyst, monkeypatch: pytest.MonkeyPatch) -> None:
    ops = Ops(free_port())
    monkeypatch.setenv("WEPEOPLE_OPS_PORT", str(ops.port))
    async with analyst.running("run", analyst.write()):
        await eventually(lambda: scraped(ops), lambda metrics: metrics is not None, what="an answer")
        assert (await analyst.projection("pause", "deploys_v1")).code == 0
        await eventually(
            lambda: analyst.projection("status", "deploys", "--json"),
            lambda found: found.json[0]["processes"] == 0,
            what="it has seen that it is paused",
        )
        await analyst.store(3)
        await eventually(
            lambda: scraped(ops),
            lambda metrics: (
                metrics is not None and metrics.value("wepeople_own_projection_lag_messages", schema="deploys_v1") == 3
            ),
            what="three messages before it",
        )


async def test_a_port_that_is_taken_or_is_none_is_said_at_once(
    analyst: Analyst, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server((HOST, 0)) as taken:
        monkeypatch.setenv("WEPEOPLE_OPS_PORT", str(taken.getsockname()[1]))
        refused = await analyst.projection("run", analyst.write())
    assert refused.code == 1
    assert "(WEPEOPLE_OPS_PORT)" in refused.stderr
    monkeypatch.setenv("WEPEOPLE_OPS_PORT", "ninety")
    refused = await analyst.projection("run", analyst.write())
    assert (refused.code, refused.stderr.strip()) == (2, "WEPEOPLE_OPS_PORT: not the number of a port")
