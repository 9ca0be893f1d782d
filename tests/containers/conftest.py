"""One deployment for all of these tests; each leaves it as whole as it found it."""

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.client import client
from tests.support.deployment import Deployment, deployed
from tests.support.nats_users import CA_FILE, SEEDS, nats_as
from tests.support.system import RunningSystem
from wepeople_embedded.demo import make_demo
from wepeople_embedded.state import open_state_dir


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs an engine, and images that were built. The upgrade comes last: there is no way back."""
    here = Path(__file__).parent
    items.sort(key=lambda item: item.path.name == "test_containers_upgrade.py")
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.containers)
            item.add_marker(pytest.mark.timeout(400))


@pytest.fixture(scope="session")
async def deployment(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Deployment]:
    """`docker compose up --wait`, by secrets of its own; everything the tests start trusts its CA and nobody else."""
    async with deployed(tmp_path_factory.mktemp("deployment")) as running:
        os.environ |= {CA_FILE: str(running.ca_file)}
        if running.postgres_has_tls:
            os.environ |= {"PGSSLMODE": "verify-full", "PGSSLROOTCERT": str(running.ca_file)}
        SEEDS["operator"] = json.loads(running.secret("operator/operator.json"))["nats_seed"]
        yield running


@pytest.fixture(scope="session")
async def system(deployment: Deployment, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningSystem]:
    """The deployment in the place of the processes that other tests have under this name."""
    with open_state_dir(tmp_path_factory.mktemp("outside")) as state:
        operator = json.loads(deployment.from_outside(deployment.secret("operator/operator.json")))
        demo = await make_demo(
            state,
            gateway_url=deployment.gateway_urls[0],
            nats=nats_as("operator", deployment.nats_url),
            admin_dsn=deployment.admin_dsn,
            projector_dsn=operator["projector_dsn"],
            reader_password="of-a-test",
        )
        state.write("operator.json", operator)
        async with client(demo.gateway_url, demo.api_key) as caller:
            assert (await caller.ping()).status == 200
        yield RunningSystem(demo, operator["postgres_dsn"], deployment.admin_dsn, state.path, services={})
