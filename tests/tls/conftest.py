"""Here every test has the Postgres that speaks TLS alone; the whole system runs on it by `sslmode=verify-full`."""

from collections.abc import AsyncIterator

import pytest

from tests.support.fresh import template_database
from tests.support.servers import Servers, embedded_servers
from tests.support.system import RunningSystem, running_system
from tests.support.tls_postgres import TlsPostgres, tls_postgres


@pytest.fixture(scope="session")
async def postgres(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TlsPostgres]:
    """One that is installed on this machine, with a certificate for `localhost`."""
    async with tls_postgres(tmp_path_factory.mktemp("tls")) as running:
        yield running


@pytest.fixture(scope="session")
async def system(postgres: TlsPostgres, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningSystem]:
    """Every service as a process, on that Postgres and the wheel's NATS."""
    async with (
        embedded_servers(tmp_path_factory.mktemp("servers")) as embedded,
        template_database(Servers(embedded.nats_url, postgres.dsn())) as template,
        running_system(template, tmp_path_factory.mktemp("system")) as running,
    ):
        yield running
