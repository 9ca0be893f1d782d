"""A system that logs all it can, and the secrets that were given to it."""

import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import aiohttp
from psycopg import AsyncConnection
from psycopg.conninfo import conninfo_to_dict

from tests.support.fresh import template_database
from tests.support.nats_users import SEEDS
from tests.support.servers import running_servers
from tests.support.system import RunningSystem, running_system

_ALL_STATEMENTS = (
    "ALTER SYSTEM SET log_statement = 'all'",
    "ALTER SYSTEM SET log_min_duration_statement = 0",
    "ALTER SYSTEM SET log_parameter_max_length_on_error = -1",
    "ALTER SYSTEM SET log_connections = 'all'",
    "SELECT pg_reload_conf()",
)


@dataclass(frozen=True, slots=True)
class Planted:
    """A running system, its secrets by what they are, and where it writes."""

    system: RunningSystem
    secrets: Mapping[str, str]
    directory: Path

    def found_in(self, text: str | bytes) -> list[str]:
        """Which secrets stand in a text."""
        data = text if isinstance(text, bytes) else text.encode()
        return [name for name, secret in self.secrets.items() if secret.encode() in data]

    def logs(self) -> dict[str, bytes]:
        """What every process has written so far: the services and both servers."""
        return {path.name: path.read_bytes() for path in self.directory.rglob("*.log")}


@asynccontextmanager
async def planted_system(directory: Path) -> AsyncIterator[Planted]:
    """Every service as a process at DEBUG, on a Postgres that logs every statement with its parameters."""
    (directory / "servers").mkdir()
    async with running_servers(directory / "servers") as servers:
        async with await AsyncConnection.connect(servers.admin_dsn, autocommit=True) as admin:
            for statement in _ALL_STATEMENTS:
                await admin.execute(statement.encode())
        with patch.dict(os.environ, {"WEPEOPLE_LOG_LEVEL": "DEBUG"}):
            async with (
                template_database(servers) as template,
                running_system(template, directory / "system") as system,
            ):
                yield Planted(system, _secrets(system, template.passwords), directory)


def _secrets(system: RunningSystem, passwords: Mapping[str, str]) -> dict[str, str]:
    superuser, reader = (conninfo_to_dict(dsn)["password"] for dsn in (system.admin_dsn, system.demo.postgres_dsn))
    return {
        "the key of the demo app": system.api_key,
        "the superuser's password": str(superuser),
        "the reader's password": str(reader),
        **{f"the password of {role}": password for role, password in passwords.items()},
        **{f"the seed of {user}": seed for user, seed in SEEDS.items()},
    }


@contextmanager
def arguments_of_all_processes() -> Iterator[dict[int, bytes]]:
    """What anybody on the machine can read of running programs."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            found[int(process.name)] = (process / "cmdline").read_bytes()
        except OSError:
            continue
    yield found


async def answers_of(url: str, *paths: str) -> bytes:
    """Everything that a server says about these paths, headers and all."""
    said = b""
    async with aiohttp.ClientSession() as session:
        for path in paths:
            async with session.get(url + path) as response:
                said += repr(response.raw_headers).encode() + await response.read()
    return said
