"""A Postgres that speaks TLS and nothing else. The wheel's cannot; Debian's can, and any other that is installed."""

import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.read_models import eventually
from wepeople_embedded.child import Child
from wepeople_embedded.ports import free_port
from wepeople_provision.certificates import new_authority, new_server

PASSWORD = "the-superusers-own"
_OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "100",
    "ssl": "on",
    "ssl_cert_file": "server.crt",
    "ssl_key_file": "server.key",
    "fsync": "off",
}


@dataclass(frozen=True, slots=True)
class TlsPostgres:
    """Its certificate is for `localhost` alone, by the authority whose certificate is in `ca_file`."""

    port: int
    ca_file: Path

    def dsn(self, *, host: str = "localhost", mode: str = "verify-full", ca_file: Path | None = None) -> str:
        """The superuser's address."""
        query = f"sslmode={mode}" + (f"&sslrootcert={ca_file or self.ca_file}" if mode != "disable" else "")
        return f"postgresql://postgres:{PASSWORD}@{host}:{self.port}/postgres?{query}"


def postgres_with_tls() -> Path:
    """The folder of its programs; `RuntimeError` when there is none, because this is never skipped."""
    pg_config = shutil.which("pg_config")
    said = (
        [subprocess.run([pg_config, "--bindir"], capture_output=True, text=True, check=True).stdout]
        if pg_config
        else []
    )
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True) + [Path(line.strip()) for line in said]
    for folder in folders:
        server = folder / "postgres"
        if server.exists() and (folder / "initdb").exists() and b"SSL_CTX_new" in server.read_bytes():
            return folder
    raise RuntimeError(
        "No Postgres with TLS is installed. On Debian: apt-get install --no-install-recommends postgresql"
    )


@asynccontextmanager
async def tls_postgres(directory: Path) -> AsyncIterator[TlsPostgres]:
    """Start one; stopped at the end."""
    programs, data, port = postgres_with_tls(), directory / "data", free_port()
    authority = new_authority()
    server_pair = new_server(authority, ["localhost"])
    ca_file = directory / "ca.crt"
    ca_file.write_text(authority.certificate)
    password = directory / "password"
    password.write_text(PASSWORD)
    make: list[str | Path] = [
        programs / "initdb",
        "-D",
        data,
        "--username",
        "postgres",
        "--auth",
        "scram-sha-256",
        "--pwfile",
        password,
    ]
    initdb = Child(
        "initdb", [*make, "--locale", "C", "--encoding", "UTF8"], log_path=directory / "log", ordinary_user=True
    )
    initdb.spawn()
    assert await initdb.wait(60) == 0, initdb.log_tail()
    (data / "server.crt").write_text(server_pair.certificate)
    (data / "server.key").write_text(server_pair.key)
    (data / "server.key").chmod(0o600)
    (data / "pg_hba.conf").write_text("hostssl all all all scram-sha-256\n")
    options = [part for name, value in _OPTIONS.items() for part in ("-c", f"{name}={value}")]
    server = Child(
        "postgres",
        [programs / "postgres", "-D", data, "-p", str(port), *options],
        log_path=directory / "log",
        environment=dict(os.environ),
        ordinary_user=True,
    )
    server.spawn()
    try:
        await eventually(
            lambda: _log(server), lambda lines: "ready to accept connections" in lines, what="Postgres is up"
        )
        yield TlsPostgres(port, ca_file)
    finally:
        await server.stop()


async def _log(server: Child) -> str:
    return "\n".join(server.log_tail())
