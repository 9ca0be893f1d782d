"""A cluster of three that loses a node under load: nothing accepted is lost, and nobody hears worse than 503."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from tests.support.client import client
from tests.support.load import Load, RequestMaker
from tests.support.nats_cluster import NODES, Clustered, clustered_system, copies_up_to_date, leader_of_stream
from tests.support.read_models import eventually
from tests.support.verdict import (
    differences_of_stream,
    read_latest_snapshots,
    read_stream,
    read_timeline,
    wait_for_usage,
    wait_until_applied,
)
from wepeople_chassis.broker import BROKER_DOWN
from wepeople_chassis.rpc import Unavailable
from wepeople_chassis.stream import StreamError
from wepeople_embedded.state import open_state_dir

RATE = 60.0
RETRYABLE = {"202", "202r", "503", "TimeoutError"}
"""What a client of a cluster that loses a node may see; the last is its own impatience."""


@pytest.fixture
async def clustered(tmp_path: Path) -> AsyncIterator[Clustered]:
    with open_state_dir(tmp_path / "state") as state:
        async with clustered_system(state) as running:
            yield running


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_each_node_dies_once_under_load_and_no_request_fails_for_good(
    clustered: Clustered,
) -> None:
    seed = random.randrange(2**32)
    connection = clustered.operator.connection
    caller = await clustered.operator.caller()
    async with client(clustered.gateway_url, caller.token, timeout_seconds=20) as api:
        load = Load(api, RequestMaker(seed), RATE)
        stop = asyncio.Event()
        loading = asyncio.create_task(load.run(stop))
        try:
            first = await leader_of_stream(connection)
            for victim in (first, *(node for node in NODES if node != first)):
                node = clustered.cluster.nodes[victim]
                promised = len(load.ledger.promised)
                await node.kill()
                # Two of three carry on while the third is away.
                await eventually(
                    partial(_promised_since, load, promised), lambda count: count >= RATE, within_seconds=60
                )
                await node.start()
                await eventually(partial(_copies, clustered), lambda copies: copies == len(NODES), within_seconds=60)
        finally:
            stop.set()
            await loading
        await wait_until_applied(api, clustered.operator_dsn)

    ledger, org_id = load.ledger, caller.org_id
    print(f"{len(ledger.sent)} requests, answers {dict(load.answers)}")
    assert set(load.answers) <= RETRYABLE
    assert not ledger.refused
    assert not ledger.unknown
    timeline = await read_timeline(clustered.operator_dsn, org_id)
    findings = ledger.compare_events((marker, event_id) for event_id, marker, *_ in timeline)
    assert findings.all() == {}
    assert differences_of_stream(await read_stream(connection, org_id), timeline) == []
    assert ledger.compare_snapshots(await read_latest_snapshots(clustered.operator_dsn, org_id)) == []
    await eventually(partial(_quota_answers, clustered, org_id), bool, within_seconds=60)
    await wait_for_usage(clustered.operator, org_id, len(timeline) + 1)


async def _promised_since(load: Load, promised: int) -> int:
    return len(load.ledger.promised) - promised


async def _quota_answers(clustered: Clustered, org_id: str) -> bool:
    try:
        await clustered.operator.usage(org_id)
    except Unavailable:
        return False
    return True


async def _copies(clustered: Clustered) -> int:
    with suppress(*BROKER_DOWN, StreamError):
        return await copies_up_to_date(clustered.operator.connection)
    return 0
