"""The compose file as a platform team runs it: under a name, with ports and secrets of its own."""

import asyncio
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.support.read_models import eventually

ROOT = Path(__file__).parents[2]
COMPOSE_FILE = ROOT / "deploy/compose/compose.yaml"
SERVICES = ("gateway", "auth", "quota", "projector")
SERVERS = ("nats", "postgres")
NATS_IMAGE = os.environ.get("WEPEOPLE_NATS_IMAGE", "nats:2.15-alpine")
POSTGRES_IMAGE = os.environ.get("WEPEOPLE_POSTGRES_IMAGE", "postgres:18")


class DockerFailed(AssertionError):
    """A command that should have succeeded; what it said is in the message."""


async def docker(*arguments: str, timeout_seconds: float = 110.0, environment: Mapping[str, str] | None = None) -> str:
    """Run `docker …`; its output, or `DockerFailed`."""
    process = await asyncio.create_subprocess_exec(
        "docker",
        *arguments,
        env=os.environ | dict(environment or {}),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(timeout_seconds):
            stdout, stderr = await process.communicate()
    except TimeoutError:
        process.kill()
        raise DockerFailed(f"docker {' '.join(arguments)}: not within {timeout_seconds:g} s") from None
    if process.returncode:
        raise DockerFailed(f"docker {' '.join(arguments)}: {process.returncode}\n{stderr.decode()}{stdout.decode()}")
    return stdout.decode()


@dataclass(frozen=True, slots=True)
class Compose:
    """One project; `environment` is what a platform team would write into `.env`."""

    project: str
    files: Sequence[Path]
    environment: Mapping[str, str]
    profiles: Sequence[str] = ()

    def with_(self, **environment: str) -> "Compose":
        """The same project under other values."""
        return replace(self, environment={**self.environment, **environment})

    async def __call__(self, *arguments: str, timeout_seconds: float = 110.0) -> str:
        """Run `docker compose …`."""
        options = [part for file in self.files for part in ("--file", str(file))]
        options += [part for profile in self.profiles for part in ("--profile", profile)]
        command = ("compose", "--project-name", self.project, "--progress", "quiet", *options, *arguments)
        return await docker(*command, timeout_seconds=timeout_seconds, environment=self.environment)

    async def inspect(self, service: str) -> dict[str, Any]:
        """What the engine knows of a service's container."""
        container = (await self("ps", "--all", "--quiet", service)).strip()
        (found,) = json.loads(await docker("inspect", container))
        value: dict[str, Any] = found
        return value

    async def is_healthy(self, service: str) -> bool:
        """Whether it runs, and says that it can work."""
        state = (await self.inspect(service))["State"]
        return bool(state["Running"] and state["Health"]["Status"] == "healthy")

    async def wait_healthy(self, *services: str, within_seconds: float = 90.0) -> None:
        """Return once all of them can work."""

        async def unhealthy() -> list[str]:
            return [service for service in services if not await self.is_healthy(service)]

        await eventually(unhealthy, lambda left: not left, within_seconds=within_seconds, what="healthy containers")

    async def kill(self, service: str) -> None:
        """`kill -9` of its process, from outside: the engine finds it dead, and starts it again by its policy.

        `docker kill` would be an order to stop, after which nothing is started again.
        """
        before = (await self.inspect(service))["State"]
        option = ("--rm", "--pid", "host", "--user", "0:0", "--cap-add", "KILL", "--entrypoint", "kill")
        await docker("run", *option, NATS_IMAGE, "-9", str(before["Pid"]))

        async def started() -> str:
            state = (await self.inspect(service))["State"]
            return str(state["StartedAt"]) if state["Running"] else ""

        await eventually(
            started, lambda at: at > before["StartedAt"], within_seconds=60, what=f"{service} is started again"
        )

    async def logs(self, *services: str) -> str:
        """All that they have said."""
        return await self("logs", "--no-color", *services)
