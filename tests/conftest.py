"""What every test may ask for: real servers, a fresh database and stream, a whole running system."""

import os
import signal
from collections.abc import AsyncIterator

import pytest

from tests.support.fresh import Fresh, Template, fresh_system, template_database
from tests.support.servers import Servers, running_servers
from tests.support.system import RunningSystem, running_system

SERVERS_ARE_GIVEN = os.environ.get("WP_TEST_SERVERS") == "external"
MIN_WORKERS = 3
MAX_WORKERS = 4


def pytest_configure() -> None:
    """Let Ctrl-C reach the processes that tests start: a shell's background job ignores it, and hands that down."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # No command that a test runs finds the system that `make up` left in this checkout.
    os.environ["WEPEOPLE_STATE_DIR"] = os.devnull


def pytest_xdist_auto_num_workers() -> int:
    """How many processes `make test` shares the files among, each with servers of its own; 0 is this one alone.

    Tests wait more than they compute, so that two cores bear three.
    """
    return 0 if SERVERS_ARE_GIVEN else max(MIN_WORKERS, min(MAX_WORKERS, (os.cpu_count() or 1) // 2))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where there is one stream for all, tests of the running system come last, because `fresh` deletes it."""
    if SERVERS_ARE_GIVEN:
        items.sort(key=lambda item: "system" in getattr(item, "fixturenames", ()))
    for item in items:
        if {"system", "fresh"} <= set(getattr(item, "fixturenames", ())):
            raise pytest.UsageError(f"{item.nodeid} asks for both `system` and `fresh`: given servers have one stream")


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


@pytest.fixture(scope="session")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningSystem]:
    """Every service as a process, with the demo org, on servers of its own; shared by all tests that ask for it."""
    async with (
        running_servers(tmp_path_factory.mktemp("system_servers")) as servers,
        template_database(servers) as template,
        running_system(template, tmp_path_factory.mktemp("system")) as running,
    ):
        yield running
