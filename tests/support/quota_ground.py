"""Servers of one test module alone, which its tests take away and bring back."""

import secrets
from pathlib import Path

from psycopg import AsyncConnection

from tests.support.quotas import quota_process
from wepeople_chassis.broker import NatsAddress
from wepeople_embedded.nats_server import NatsServer
from wepeople_embedded.ports import free_port
from wepeople_embedded.postgres_server import PostgresServer
from wepeople_embedded.services import ServiceProcess
from wepeople_provision.dsn import login_dsn
from wepeople_provision.provision import provision
from wepeople_provision.roles import LOGIN_ROLES


class Ground:
    """NATS and Postgres, provisioned, and processes of quota on them."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._passwords = {role: secrets.token_urlsafe(12) for role in LOGIN_ROLES}
        self.nats = NatsServer(directory / "nats", port=free_port(), log_path=directory / "nats.log")
        self.postgres = PostgresServer(
            directory / "postgres",
            port=free_port(),
            password=secrets.token_urlsafe(16),
            log_path=directory / "postgres.log",
        )

    async def start(self) -> None:
        """Start both."""
        await self.nats.start()
        await self.postgres.start()
        await provision(NatsAddress(self.nats.url), self.postgres.dsn(), self._passwords)

    async def stop(self) -> None:
        """Stop both."""
        await self.nats.stop()
        await self.postgres.stop()

    def quota(self) -> ServiceProcess:
        """A process of quota, not started."""
        dsn = login_dsn(self.postgres.dsn(), "wepeople_quota", self._passwords["wepeople_quota"])
        return quota_process(self.nats.url, dsn, self._directory)

    async def saved_units(self, org_id: str) -> int | None:
        """What the database says that an org has used of its one month."""
        async with await AsyncConnection.connect(self.postgres.dsn()) as connection:
            cursor = await connection.execute("SELECT units FROM quota.org_usage WHERE org_id = %s", (org_id,))
            row = await cursor.fetchone()
            return row[0] if row else None
