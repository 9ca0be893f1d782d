"""The services as processes: how each is started, and when it can work."""

import asyncio
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from nats.aio.client import Client

from wepeople_chassis.broker import is_ready
from wepeople_embedded.child import Child, ChildFailed
from wepeople_embedded.ports import HOST
from wepeople_provision.dsn import login_dsn

START_ORDER = ("auth", "quota", "projector", "gateway")
ARCHIVER = "archiver"
ARCHIVE_URL = "WEPEOPLE_ARCHIVE_URL"
READY_SECONDS = 60.0
_POLL_SECONDS = 0.05


class ServiceProcess:
    """One service, in a process of its own: `python -m wepeople_<name>`."""

    def __init__(self, name: str, settings: Mapping[str, str], log_path: Path) -> None:
        self.name = name
        self.child = Child(
            name,
            # -P: a file in the current directory must not stand in for a module.
            [sys.executable, "-P", "-m", f"wepeople_{name}"],
            log_path=log_path,
            environment={**os.environ, **settings},
        )

    def start(self) -> None:
        """Start it and return at once."""
        self.child.spawn()

    async def wait_ready(self, connection: Client, timeout_seconds: float = READY_SECONDS) -> None:
        """Return once it says that it can work; `ChildFailed` when it ended instead, or did not say so in time."""
        deadline = time.monotonic() + timeout_seconds
        while not await is_ready(connection, self.name):
            if not self.child.is_running:
                raise ChildFailed(self.child, f"ended with code {self.child.exit_code} while starting")
            if time.monotonic() > deadline:
                raise ChildFailed(self.child, f"was not ready within {timeout_seconds:.0f} s")
            await asyncio.sleep(_POLL_SECONDS)

    async def stop(self, timeout_seconds: float = 5.0) -> int | None:
        """SIGTERM, and SIGKILL when that was not enough; its exit code."""
        return await self.child.stop(timeout_seconds)

    async def kill(self) -> None:
        """SIGKILL."""
        await self.child.kill()


def make_services(
    *,
    nats_url: str,
    seeds: Mapping[str, str],
    admin_dsn: str,
    passwords: Mapping[str, str],
    gateway_port: int,
    logs: Path,
) -> dict[str, ServiceProcess]:
    """The services of one system by name, in the order to start them; the archiver only where the environment says
    where the archive is.
    """
    services = {}
    for name in (*START_ORDER, ARCHIVER) if os.environ.get(ARCHIVE_URL) else START_ORDER:
        settings = {"WEPEOPLE_NATS_URL": nats_url, "WEPEOPLE_NATS_SEED": seeds[name]}
        if name == "gateway":
            settings |= {"WEPEOPLE_HTTP_HOST": HOST, "WEPEOPLE_HTTP_PORT": str(gateway_port)}
        elif name != ARCHIVER:
            role = f"wepeople_{name}"
            settings["WEPEOPLE_POSTGRES_DSN"] = login_dsn(admin_dsn, role, passwords[role])
        services[name] = ServiceProcess(name, settings, logs / f"{name}.log")
    return services
