"""The real `wepeople` command, as an operator types it."""

import asyncio
import json
import os
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.fresh import Fresh
from tests.support.nats_users import nats_environment

WEPEOPLE = Path(sysconfig.get_path("scripts")) / "wepeople"


@dataclass(frozen=True, slots=True)
class Result:
    """How a command ended, and what it printed."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """The output of a command that succeeded."""
        assert self.code == 0, self.stderr
        return json.loads(self.stdout)


async def wepeople(nats_url: str, operator_dsn: str, *arguments: str, **environment: str) -> Result:
    """Run a command as the operator of a system."""
    addresses = nats_environment("operator", nats_url) | {"WEPEOPLE_POSTGRES_DSN": operator_dsn}
    process = await asyncio.create_subprocess_exec(
        WEPEOPLE,
        *arguments,
        env=os.environ | addresses | environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        stdout, stderr = await process.communicate()
    return Result(process.returncode or 0, stdout.decode(), stderr.decode())


async def as_operator(fresh: Fresh, *arguments: str, **environment: str) -> Result:
    """Run a command as the operator of a fresh system."""
    return await wepeople(fresh.nats_url, fresh.dsn("operator"), *arguments, **environment)
