"""The official images of both servers, by testcontainers."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import LogMessageWaitStrategy

NATS_IMAGE = "nats:2.15-alpine"
POSTGRES_IMAGE = "postgres:18"
PASSWORD = "postgres"
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
    """Start both; their NATS URL and superuser's DSN."""
    configuration = directory / "nats-server.conf"
    configuration.write_text(NATS_CONFIGURATION)
    nats = (
        DockerContainer(NATS_IMAGE)
        .with_volume_mapping(str(configuration), "/etc/nats/test.conf", "ro")
        .with_command("--config /etc/nats/test.conf")
        .with_exposed_ports(4222)
        .waiting_for(LogMessageWaitStrategy("Server is ready"))
    )
    postgres = (
        DockerContainer(POSTGRES_IMAGE)
        .with_env("POSTGRES_PASSWORD", PASSWORD)
        .with_env("POSTGRES_DB", "wepeople")
        .with_exposed_ports(5432)
        # Twice: the image starts a server for its set-up before the one that stays.
        .waiting_for(LogMessageWaitStrategy("database system is ready to accept connections", times=2))
    )
    with nats, postgres:
        yield (
            f"nats://{nats.get_container_host_ip()}:{nats.get_exposed_port(4222)}",
            f"postgresql://postgres:{PASSWORD}@{postgres.get_container_host_ip()}:"
            f"{postgres.get_exposed_port(5432)}/wepeople",
        )
