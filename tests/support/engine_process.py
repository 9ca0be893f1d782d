"""An engine in a process of its own, so that a test can kill it: `python -m tests.support.engine_process SETTINGS`."""

import asyncio
import gc
import json
import os
import random
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.support import tally
from wepeople_chassis.broker import NatsAddress, close, connect
from wepeople_chassis.logging import configure_logging
from wepeople_chassis.postgres import make_pool
from wepeople_contracts.subjects import PARTITIONS
from wepeople_projections.definition.projection import define
from wepeople_projections.folding.position import Position
from wepeople_projections.running.engine import Engine
from wepeople_projections.running.options import RunOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """Where and what to run; with `until` it ends there. `batch_bytes` below 0: drawn anew by each process."""

    nats_url: str
    dsn: str
    projection: str
    schema: str
    until: int | None = None
    batch_bytes: int = 4 * 1024 * 1024


class EngineProcess:
    """One process; its log is kept beside."""

    def __init__(self, settings: EngineSettings, log: Path) -> None:
        self._output = log.open("ab")
        command = [sys.executable, "-m", "tests.support.engine_process", json.dumps(asdict(settings))]
        self._process = subprocess.Popen(command, stdout=self._output, stderr=self._output)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def kill(self) -> None:
        """Kill -9, and wait until it is gone."""
        if self._process.poll() is None:
            os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._output.close()

    def ended(self) -> bool:
        """Whether it is over; fails when it ended by an error of its own."""
        code = self._process.poll()
        assert code in (None, 0, -signal.SIGKILL), f"an engine ended with {code}"
        return code is not None


class _Silent:
    async def committed(self, partition: int, position: Position, rows: int, pending: int) -> None:
        return


async def _run(settings: EngineSettings) -> None:
    projection: Any = getattr(tally, settings.projection)
    connection = await connect(NatsAddress(settings.nats_url), "engine")
    pool = make_pool(settings.dsn, "engine", max_size=8)
    await pool.open()
    batch_bytes = settings.batch_bytes if settings.batch_bytes > 0 else random.randrange(1, 60_000)
    until = None if settings.until is None else dict.fromkeys(range(PARTITIONS), settings.until)
    options = RunOptions(until=until, batch_bytes=batch_bytes, gives_way=False)
    await Engine(define(projection), settings.schema, connection, pool, options, _Silent()).run()
    await close(connection)
    await pool.close(1.0)


if __name__ == "__main__":
    configure_logging("engine", "info")
    gc.set_threshold(100_000)
    asyncio.run(_run(EngineSettings(**json.loads(sys.argv[1]))))
