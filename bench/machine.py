"""The machine and the versions that the figures belong to."""

import os
import platform
import statistics
import subprocess
import tempfile
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil
from msgspec import Struct

from wepeople_embedded.binaries import nats_server, postgres

_WRITES = 200
_LOOK_SECONDS = 2.0
_PACKAGES = ("aiohttp", "uvloop", "nats-py", "msgspec", "psycopg", "faststream", "pydantic")


class Machine(Struct, frozen=True, kw_only=True):
    """`fsync_ms`: median time to append 4 KiB to a file and have it on disk, where the servers keep their data;
    `busy_percent`: how much of all cores other programs took just before.
    """

    date: str
    cores: int
    cpu: str
    memory_gib: float
    kernel: str
    fsync_ms: float
    busy_percent: float
    python: str
    nats_server: str
    postgres: str
    packages: str

    def lines(self) -> list[tuple[str, str]]:
        """Each fact with its name, for people."""
        return [
            ("Date", self.date),
            ("Processor", f"{self.cpu}, {self.cores} cores"),
            ("Memory", f"{self.memory_gib:.0f} GiB"),
            ("Kernel", self.kernel),
            ("4 KiB appended and on disk (fsync)", f"{self.fsync_ms:.2f} ms (median of {_WRITES})"),
            ("Busy with other programs before", f"{self.busy_percent:.0f} %"),
            ("Python", self.python),
            ("Servers", f"{self.nats_server}; {self.postgres}"),
            ("Packages", self.packages),
        ]


def look_at_machine(directory: Path) -> Machine:
    """Everything that is worth knowing, and the speed of the disk under `directory`."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Machine(
        date=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        cores=os.cpu_count() or 0,
        cpu=_cpu_model(),
        memory_gib=psutil.virtual_memory().total / 2**30,
        kernel=f"{platform.system()} {platform.release()}",
        fsync_ms=_fsync_seconds(directory) * 1000,
        busy_percent=psutil.cpu_percent(interval=_LOOK_SECONDS),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        nats_server=_first_line(nats_server(), "--version"),
        postgres=_first_line(postgres("postgres"), "--version"),
        packages=", ".join(f"{name} {version(name)}" for name in _PACKAGES),
    )


def _fsync_seconds(directory: Path) -> float:
    block = bytes(4096)
    seconds = []
    with tempfile.NamedTemporaryFile(dir=directory, buffering=0) as file:
        for _ in range(_WRITES):
            started_at = time.perf_counter()
            file.write(block)
            os.fsync(file.fileno())
            seconds.append(time.perf_counter() - started_at)
    return statistics.median(seconds)


def _cpu_model() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _first_line(program: Path, argument: str) -> str:
    return subprocess.run([program, argument], capture_output=True, text=True, check=True).stdout.splitlines()[0]
