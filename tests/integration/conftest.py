"""What the gateway's tests share: an operator, an app whose plan stands in nobody's way, and a client of it."""

from collections.abc import AsyncIterator

import pytest

from tests.support.client import Client, client
from tests.support.lone_stream import connection, server, stream  # noqa: F401  (fixtures)
from tests.support.operators import Caller, Operators, operators
from tests.support.system import RunningSystem


@pytest.fixture(scope="session")
async def operator(system: RunningSystem) -> AsyncIterator[Operators]:
    """An operator of the running system."""
    async with operators(system.nats_url) as connected:
        yield connected


@pytest.fixture(scope="session")
async def caller(operator: Operators) -> Caller:
    """An app with a key, on a plan without a month's limit and with a high rate."""
    return await operator.caller()


@pytest.fixture
async def api(system: RunningSystem, caller: Caller) -> AsyncIterator[Client]:
    """A client with that key."""
    async with client(system.gateway_url, caller.token) as connected:
        yield connected


@pytest.fixture
async def unharmed(system: RunningSystem, caller: Caller) -> AsyncIterator[None]:
    """Whatever the test does: afterwards the same gateway process serves another connection."""
    process = system.services["gateway"].child
    before = process.pid
    yield
    assert process.is_running
    assert process.pid == before
    async with client(system.gateway_url, caller.token) as another:
        assert (await another.ping()).status == 200
