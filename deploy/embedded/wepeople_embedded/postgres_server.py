"""A real Postgres on the loopback, its data in a directory, with the database `wepeople`."""

import asyncio
import shutil
import signal
import time
from pathlib import Path

from psycopg import AsyncConnection, OperationalError, sql

from wepeople_embedded.binaries import postgres
from wepeople_embedded.child import Child, ChildFailed

DATABASE = "wepeople"
SUPERUSER = "postgres"
MAX_CONNECTIONS = 100
_INITDB_SECONDS = 60.0
_START_SECONDS = 60.0
_POLL_SECONDS = 0.05
_PREDECESSOR_IS_DYING = "is still in use"


class PostgresServer:
    """`directory` holds the data, made by `initdb` at the first start with the given password of the superuser.

    As root it runs in a user namespace, because Postgres refuses root.
    """

    def __init__(self, directory: Path, *, port: int, password: str, log_path: Path) -> None:
        self._directory = directory
        self._data = directory / "data"
        self._password = password
        self._log_path = log_path
        self.port = port
        self.child = Child(
            "postgres",
            [postgres("postgres"), "-D", self._data, *_options(port)],
            log_path=log_path,
            ordinary_user=True,
            stop_signal=signal.SIGINT,
            # Immediate shutdown: unlike SIGKILL it takes the backends along.
            death_signal=signal.SIGQUIT,
        )

    def dsn(self, database: str = DATABASE) -> str:
        """The superuser's address of a database."""
        return f"postgresql://{SUPERUSER}:{self._password}@127.0.0.1:{self.port}/{database}"

    async def start(self) -> None:
        """Start it and return once it answers and has the database `wepeople`; `ChildFailed` when it does not."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self._data.exists():
            await self._initdb()
        _remove_stale_pid_file(self._data / "postmaster.pid", self._data)
        self.child.spawn()
        deadline = time.monotonic() + _START_SECONDS
        while not await self._answers():
            if not self.child.is_running:
                if time.monotonic() > deadline or not self._predecessor_is_dying():
                    raise ChildFailed(self.child, f"ended with code {self.child.exit_code} while starting")
                self.child.spawn()
            if time.monotonic() > deadline:
                raise ChildFailed(self.child, f"did not answer within {_START_SECONDS:.0f} s")
            await asyncio.sleep(_POLL_SECONDS)
        await self._create_database()

    async def stop(self, timeout_seconds: float = 8.0) -> None:
        """Fast shutdown: ends the sessions, writes a checkpoint."""
        await self.child.stop(timeout_seconds)

    async def kill(self) -> None:
        """End it with SIGKILL; its backends notice and follow."""
        await self.child.kill()

    async def _initdb(self) -> None:
        unfinished = self._directory / "data.unfinished"
        password_file = self._directory / "password"
        password_file.touch(mode=0o600)
        password_file.write_text(self._password)
        if unfinished.exists():
            shutil.rmtree(unfinished)
        initdb = Child(
            "initdb",
            [
                *(postgres("initdb"), "--no-instructions", "-D", unfinished, "--username", SUPERUSER),
                *("--auth", "scram-sha-256", "--pwfile", password_file, "--locale", "C", "--encoding", "UTF8"),
            ],
            log_path=self._log_path,
            ordinary_user=True,
        )
        initdb.spawn()
        try:
            code = await initdb.wait(_INITDB_SECONDS)
        finally:
            await initdb.kill()
            password_file.unlink()
        if code != 0:
            raise ChildFailed(initdb, f"did not make the database (code {code})")
        unfinished.rename(self._data)

    def _predecessor_is_dying(self) -> bool:
        # After kill -9 of a postmaster its backends hold the shared memory for another moment.
        return any(_PREDECESSOR_IS_DYING in line for line in self.child.log_tail())

    async def _answers(self) -> bool:
        try:
            connection = await AsyncConnection.connect(self.dsn("postgres"), connect_timeout=2)
        except OperationalError:
            return False
        await connection.close()
        return True

    async def _create_database(self) -> None:
        async with await AsyncConnection.connect(self.dsn("postgres"), autocommit=True) as connection:
            found = await connection.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE])
            if await found.fetchone() is None:
                await connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))


def _options(port: int) -> list[str]:
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": str(port),
        "unix_socket_directories": "",
        "max_connections": str(MAX_CONNECTIONS),
        "log_line_prefix": "%m [%p] %u ",
    }
    return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]


def _remove_stale_pid_file(pid_file: Path, data: Path) -> None:
    """Remove a killed postmaster's pid file when its pid now belongs to another program.

    Postgres itself takes any living process of the same user for its predecessor; to root, that is most of them.
    """
    try:
        pid = int(pid_file.read_text().split("\n", 1)[0])
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return
    if str(data).encode() not in command:
        pid_file.unlink()
