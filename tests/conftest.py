"""What every test may ask for: real servers, a fresh database and stream."""

from collections.abc import AsyncIterator

import pytest

from tests.support.fresh import Fresh, Template, fresh_system, template_database
from tests.support.servers import Servers, running_servers


@pytest.fixture(scope="session")
async def servers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Servers]:
    """A real NATS and a real Postgres, for the whole run."""
    async with running_servers(tmp_path_factory.mktemp("servers")) as running:
        yield running


@pytest.fixture(scope="session")
async def template(servers: Servers) -> AsyncIterator[Template]:
    """The provisioned database that fresh ones are cloned from."""
    async with template_database(servers) as database:
        yield database


@pytest.fixture
async def fresh(template: Template) -> AsyncIterator[Fresh]:
    """A provisioned database of this test alone, and the stream emptied."""
    async with fresh_system(template) as ready:
        yield ready
