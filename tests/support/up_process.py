"""A real `wepeople up` in a process of its own."""

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import psutil

WEPEOPLE = Path(sys.executable).with_name("wepeople")
RUNNING = "WePeople Ingest is running"


class UpProcess:
    """Its output is in a file, so that it never waits for a reader; without a `state_dir` it is ephemeral."""

    def __init__(
        self, state_dir: Path | None, port: int, output: Path, *more: str, environment: Mapping[str, str] | None = None
    ) -> None:
        place = ["--ephemeral"] if state_dir is None else ["--state-dir", str(state_dir)]
        self.state_dir = state_dir
        self.port = port
        self._output = output
        with output.open("wb") as file:
            self._process = subprocess.Popen(
                [WEPEOPLE, "up", *place, "--port", str(port), *more],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=environment,
            )
        self.pid = self._process.pid

    @property
    def output(self) -> str:
        return self._output.read_text()

    async def wait_ready(self, timeout_seconds: float = 60.0) -> None:
        """Return once its screen is there."""
        deadline = time.monotonic() + timeout_seconds
        while RUNNING not in self.output:
            assert self._process.poll() is None, self.output
            assert time.monotonic() < deadline, f"not ready in time: {self.output}"
            await asyncio.sleep(0.05)

    def kill(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self._process.wait()

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def wait_ended(self, timeout_seconds: float = 15.0) -> int:
        """Its exit code."""
        deadline = time.monotonic() + timeout_seconds
        while (code := self._process.poll()) is None:
            assert time.monotonic() < deadline, f"still running: {self.output}"
            await asyncio.sleep(0.02)
        return code

    def descendants(self) -> list[psutil.Process]:
        return psutil.Process(self.pid).children(recursive=True)


async def gone(processes: list[psutil.Process], timeout_seconds: float) -> bool:
    """Whether none of the processes is left within the time; one that is dead and not yet reaped counts as gone."""
    deadline = time.monotonic() + timeout_seconds
    while any(_lives(process) for process in processes):
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.02)
    return True


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@asynccontextmanager
async def up(state_dir: Path, port: int) -> AsyncIterator[UpProcess]:
    """Start it and wait for its screen; if the test leaves it running it is killed at the end."""
    process = UpProcess(state_dir, port, state_dir.with_suffix(".out"))
    try:
        await process.wait_ready()
        yield process
    finally:
        process.kill()


def read_demo(state_dir: Path | None) -> dict[str, str]:
    """What `demo.json` holds."""
    assert state_dir is not None
    values: dict[str, str] = json.loads((state_dir / "demo.json").read_text())
    return values
