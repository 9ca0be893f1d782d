"""A hot standby of the wheel's Postgres, on this machine."""

import signal
from pathlib import Path

from psycopg import AsyncConnection, OperationalError, conninfo

from tests.support.read_models import eventually, query
from wepeople_embedded.binaries import postgres
from wepeople_embedded.child import Child
from wepeople_embedded.ports import HOST
from wepeople_provision.roles import REPLICATION_ROLE, provision_roles

_SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "100",
    "fsync": "off",
    # As in compose: what is read here is not vacuumed away there.
    "hot_standby_feedback": "on",
}


class Standby:
    """Copies the server at `primary_port` by the role for it, follows it, and may take its place."""

    def __init__(self, directory: Path, *, primary_port: int, port: int, password: str) -> None:
        self.port = port
        self._data = directory / "data"
        self._log = directory / "log"
        self._primary = conninfo.make_conninfo(host=HOST, port=primary_port, user=REPLICATION_ROLE, password=password)
        settings = {**_SETTINGS, "port": str(port), "primary_conninfo": self._primary}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        self.child = Child(
            "standby",
            [postgres("postgres"), "-D", self._data, *options],
            log_path=self._log,
            ordinary_user=True,
            stop_signal=signal.SIGINT,
            death_signal=signal.SIGQUIT,
        )

    async def copy(self) -> None:
        """Take the first copy; from then on it is a standby."""
        command: list[str | Path] = [postgres("pg_basebackup"), "-D", self._data, "-d", self._primary]
        command += ["--wal-method=stream", "--checkpoint=fast"]
        copying = Child("pg_basebackup", command, log_path=self._log, ordinary_user=True)
        copying.spawn()
        assert await copying.wait(60) == 0, copying.log_tail()
        (self._data / "standby.signal").touch()

    async def start(self, admin_dsn: str) -> None:
        """Start it; returns once it may be asked."""
        self.child.spawn()

        async def answers() -> bool:
            try:
                await query(self.at(admin_dsn), "SELECT 1 AS one")
            except OperationalError:
                assert self.child.is_running, self.child.log_tail()
                return False
            return True

        await eventually(answers, bool, what="a standby that answers")

    async def stop(self) -> None:
        await self.child.stop()

    async def kill(self) -> None:
        """SIGKILL."""
        await self.child.kill()

    async def promote(self, admin_dsn: str) -> None:
        """Make it take writes."""
        assert await query(self.at(admin_dsn), "SELECT pg_promote() AS done") == [{"done": True}]

    async def waits(self, admin_dsn: str, *, replaying: bool) -> None:
        """Stop applying what it has copied, or go on."""
        statement = "SELECT pg_wal_replay_resume()" if replaying else "SELECT pg_wal_replay_pause()"
        await query(self.at(admin_dsn), statement)

    def at(self, dsn: str) -> str:
        """The same login here."""
        return conninfo.make_conninfo(dsn, host=HOST, port=self.port, target_session_attrs="any")


async def let_copy(admin_dsn: str, passwords: dict[str, str], password: str) -> None:
    """Give the role for standbys its password, as the provisioner does."""
    async with await AsyncConnection.connect(admin_dsn, autocommit=True) as connection:
        await provision_roles(connection, passwords | {REPLICATION_ROLE: password})
