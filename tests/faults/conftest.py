"""The system that the fault tests break: one for all of them, mended before each. And a cluster of NATS alone, new for
each test of it.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from nats.aio.client import Client

from tests.support.breakable import Breakable, breakable_system
from tests.support.nats_cluster import NODES, NatsCluster
from tests.support.read_models import eventually
from wepeople_chassis.broker import BROKER_DOWN, NatsAddress, connect
from wepeople_provision.errors import ProvisionError
from wepeople_provision.stream import provision_streams
from wepeople_provision.stream_plan import Wishes


@pytest.fixture(scope="package")
async def _one_system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Breakable]:
    async with breakable_system(tmp_path_factory.mktemp("breakable")) as running:
        yield running


@pytest.fixture
async def breakable(_one_system: Breakable) -> Breakable:
    """Every part runs and works; a test may leave it broken."""
    await _one_system.mend()
    return _one_system


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[NatsCluster]:
    """Three nodes, which answer."""
    running = NatsCluster(tmp_path / "cluster")
    try:
        await running.start()
        yield running
    finally:
        await running.stop()


@pytest.fixture
async def connection(cluster: NatsCluster) -> AsyncIterator[Client]:
    """As a guest, who may do everything; the stream has three copies."""
    connected = await connect(NatsAddress(cluster.url), "tests")

    async def provisioned() -> bool:
        try:
            await provision_streams(connected, Wishes(replicas=len(NODES)))
        except (ProvisionError, *BROKER_DOWN):
            return False
        return True

    await eventually(provisioned, bool, within_seconds=60, what="a stream with three copies")
    yield connected
    await connected.close()
