"""The official images of both servers, by testcontainers."""

import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import LogMessageWaitStrategy

from tests.support.nats_users import ACCESS
from wepeople_embedded.ports import HOST

NATS_IMAGE = "nats:2.15-alpine"
POSTGRES_IMAGE = "postgres:18"
START_SECONDS = 60.0
NATS_CONFIGURATION = """\
port: 4222
max_payload: 12582912
max_pending: 134217728
jetstream {
  store_dir: "/data"
  sync_interval: always
}
"""


@contextmanager
def container_servers(directory: Path) -> Iterator[tuple[str, str]]:
    """Start both; their NATS URL and superuser's DSN. What they log goes into files of the directory, as it does of the
    wheels' servers.
    """
    configuration = directory / "nats-server.conf"
    configuration.write_text(NATS_CONFIGURATION + ACCESS)
    password = secrets.token_urlsafe(16)
    nats = (
        DockerContainer(NATS_IMAGE)
        .with_volume_mapping(str(configuration), "/etc/nats/test.conf", "ro")
        .with_command("--config /etc/nats/test.conf")
        .with_exposed_ports(4222)
        .waiting_for(LogMessageWaitStrategy("Server is ready"))
    )
    postgres = (
        DockerContainer(POSTGRES_IMAGE)
        .with_env("POSTGRES_PASSWORD", password)
        .with_env("POSTGRES_DB", "wepeople")
        .with_exposed_ports(5432)
    )
    with nats, postgres:
        _write_down(nats, directory / "nats.log")
        _write_down(postgres, directory / "postgres.log")
        nats_url = f"nats://{_address(nats, 4222)}"
        admin_dsn = f"postgresql://postgres:{password}@{_address(postgres, 5432)}/wepeople"
        _wait_for_postgres(admin_dsn)
        yield nats_url, admin_dsn


def _write_down(container: DockerContainer, log_path: Path) -> None:
    """Write what it logs into a file until it ends."""

    def write() -> None:
        with log_path.open("wb", buffering=0) as log:
            for chunk in container.get_wrapped_container().logs(stream=True, follow=True):
                log.write(chunk)

    threading.Thread(target=write, daemon=True).start()


def _address(container: DockerContainer, port: int) -> str:
    """Where it is published: the loopback, off which services speak plain NATS to nobody, unless these tests are in a
    container themselves, with an engine outside; then `WEPEOPLE_NATS_PLAINTEXT=true` is theirs to set.
    """
    published = container.get_exposed_port(port)
    try:
        socket.create_connection((HOST, published), timeout=2).close()
    except OSError:
        return f"{container.get_container_host_ip()}:{published}"
    return f"{HOST}:{published}"


def _wait_for_postgres(dsn: str) -> None:
    """Its log says "ready" once too early, of a server that the image starts for its set-up and that has no port."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            psycopg.connect(dsn, connect_timeout=2).close()
            return
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
