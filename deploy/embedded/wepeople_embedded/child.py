"""A child process: started through `launch.py`, its output in a file, stopped within a bounded time."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from wepeople_embedded.errors import EmbeddedError

LAUNCHER = Path(__file__).with_name("launch.py")
_POLL_SECONDS = 0.02
_TAIL_BYTES = 8192


class ChildFailed(EmbeddedError):
    """A child ended, or did not answer, when it was needed; the message has its last words and its log's place."""

    def __init__(self, child: "Child", what: str) -> None:
        self.name = child.name
        self.log_path = child.log_path
        tail = "\n".join(f"  | {line}" for line in child.log_tail()) or "  | (it wrote nothing)"
        super().__init__(f"{child.name} {what}. The end of its log:\n{tail}\nThe whole log: {child.log_path}")


class Child:
    """One program that can be started, stopped, killed and started again; it dies with this process.

    More exactly it dies with the thread that starts it, so start it from the main thread.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        log_path: Path,
        environment: Mapping[str, str] | None = None,
        ordinary_user: bool = False,
        stop_signal: signal.Signals = signal.SIGTERM,
        death_signal: signal.Signals = signal.SIGKILL,
    ) -> None:
        self.name = name
        self.log_path = log_path
        self._command = command
        self._environment = environment
        self._identity = "ordinary-user" if ordinary_user else "plain"
        self._stop_signal = stop_signal
        self._death_signal = death_signal
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    @property
    def pid(self) -> int:
        """The process id of the last start; `RuntimeError` before the first."""
        if self._process is None:
            raise RuntimeError(f"{self.name} was never started")
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """How it ended; None while it runs or before its first start, negative for the number of a signal."""
        return None if self._process is None else self._process.poll()

    def spawn(self) -> None:
        """Start it and return at once."""
        if self.is_running:
            raise RuntimeError(f"{self.name} is running")
        launcher = [sys.executable, "-I", "-S", str(LAUNCHER), str(os.getpid()), str(int(self._death_signal))]
        with self.log_path.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                [*launcher, self._identity, *map(str, self._command)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
            )

    async def wait(self, timeout_seconds: float) -> int | None:
        """Its exit code, or None when it has not ended within the time."""
        deadline = time.monotonic() + timeout_seconds
        while self.is_running and time.monotonic() < deadline:  # noqa: ASYNC110 - a Popen announces nothing
            await asyncio.sleep(_POLL_SECONDS)
        return self.exit_code

    async def stop(self, timeout_seconds: float = 5.0) -> int | None:
        """Ask it to end, kill it when it does not within the time; its exit code."""
        self.signal(self._stop_signal)
        if await self.wait(timeout_seconds) is None:
            await self.kill()
        return self.exit_code

    async def kill(self) -> int | None:
        """End it with SIGKILL, at once."""
        self.signal(signal.SIGKILL)
        return await self.wait(timeout_seconds=10.0)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it runs."""
        if self._process is not None and self.is_running:
            self._process.send_signal(number)

    def log_tail(self, lines: int = 12) -> list[str]:
        """The last lines that it wrote since its last start."""
        if not self.log_path.exists():
            return []
        with self.log_path.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(self._log_start, size - _TAIL_BYTES))
            return log.read().decode(errors="replace").splitlines()[-lines:]
