"""A whole system in containers, from the compose file and nothing else, as tests see it."""

import os
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.compose import COMPOSE_FILE, POSTGRES_IMAGE, Compose, DockerFailed, docker
from wepeople_embedded.ports import free_port

FOLDER = Path(__file__).parents[1] / "containers"
VERSION = os.environ.get("WEPEOPLE_VERSION", "dev")
PROVISION_IMAGE = f"wepeople/provision:{VERSION}"
_TLS_OF_POSTGRES = re.compile(r"\?sslmode=verify-full&sslrootcert=[^\s\"&]*(&)?")
_PORTS = ("WP_TEST_NATS_PORT", "WP_TEST_POSTGRES_PORT", "WP_TEST_REPLICA_PORT", "WEPEOPLE_LISTEN", "WEPEOPLE_LISTEN_2")


@dataclass(frozen=True, slots=True)
class Deployment:
    """Where it is for somebody on this machine, and how its secrets are found."""

    compose: Compose
    secrets: Path
    postgres_has_tls: bool

    @property
    def gateway_urls(self) -> tuple[str, str]:
        """The gateway, and the one of the profile `double`."""
        first, second = (self.compose.environment[name] for name in ("WEPEOPLE_LISTEN", "WEPEOPLE_LISTEN_2"))
        return f"https://{_by_name(first)}", f"https://{_by_name(second)}"

    @property
    def nats_url(self) -> str:
        """NATS by the tests' own port."""
        return f"tls://localhost:{self.compose.environment['WP_TEST_NATS_PORT']}"

    @property
    def ca_file(self) -> Path:
        """Of all certificates here."""
        return self.secrets / "ca/ca.crt"

    def secret(self, name: str) -> str:
        """What one file holds."""
        return (self.secrets / name).read_text().strip()

    def from_outside(self, text: str) -> str:
        """Addresses of containers, for somebody on this machine."""
        text = text.replace("@postgres:5432", f"@localhost:{self.compose.environment['WP_TEST_POSTGRES_PORT']}")
        text = text.replace(",postgres-replica:5432", f",localhost:{self.compose.environment['WP_TEST_REPLICA_PORT']}")
        return text.replace("tls://nats:4222", self.nats_url).replace("/run/ca/ca.crt", str(self.ca_file))

    @property
    def admin_dsn(self) -> str:
        """The superuser's address of the database."""
        return self.from_outside(self.secret("provision/wepeople_admin_dsn"))


@asynccontextmanager
async def deployed(directory: Path, *, files: Sequence[Path] = ()) -> AsyncIterator[Deployment]:
    """Make the secrets, `up --wait`, and take all of it away at the end, its volumes too."""
    ports = dict(zip(_PORTS, (free_port() for _ in _PORTS), strict=True))
    listen = {name: f"127.0.0.1:{port}" if "LISTEN" in name else str(port) for name, port in ports.items()}
    secrets = directory / "secrets"
    await make_secrets(secrets)
    has_tls = await postgres_has_tls()
    without = () if has_tls else (FOLDER / "compose.postgres-without-tls.yaml",)
    if not has_tls:
        without_tls(secrets)
    compose = Compose(
        project=f"wepeople-test-{os.getpid()}",
        files=(COMPOSE_FILE, FOLDER / "compose.tests.yaml", *without, *files),
        environment={
            "WEPEOPLE_SECRETS": str(secrets),
            "WEPEOPLE_VERSION": VERSION,
            "WP_TEST_FOLDER": str(FOLDER),
            **listen,
        },
    )
    try:
        await compose("up", "--wait")
        yield Deployment(compose, secrets, has_tls)
    except DockerFailed:
        print(await compose("logs", "--no-color", "--tail", "40"))
        raise
    finally:
        everything = Compose(
            compose.project, compose.files, compose.environment, ("double", "operator", "demo", "copier")
        )
        await everything("down", "--volumes", "--timeout", "3")


async def make_secrets(directory: Path, *options: str) -> None:
    """By the image, as somebody without a Python does it; again it changes nothing."""
    directory.mkdir(mode=0o700, exist_ok=True)
    whose = ("--user", f"{os.getuid()}:{os.getgid()}", "--volume", f"{directory}:/secrets")
    await docker(
        "run", "--rm", *whose, PROVISION_IMAGE, "secrets", "generate", "/secrets", "--for-containers", *options
    )


async def postgres_has_tls() -> bool:
    """Whether this image's server was built with TLS; the official one is."""
    command = 'ldd "$(command -v postgres)" | grep -c libssl || true'
    return (await docker("run", "--rm", "--entrypoint", "sh", POSTGRES_IMAGE, "-c", command)).strip() != "0"


def without_tls(secrets: Path) -> None:
    """Take from the addresses what a server without TLS can't give."""
    for file in secrets.glob("*/*"):
        if file.suffix in {"", ".json"} and _TLS_OF_POSTGRES.search(file.read_text()):
            file.write_text(_TLS_OF_POSTGRES.sub(lambda found: "?" if found[1] else "", file.read_text()))


def _by_name(address: str) -> str:
    return address.replace("127.0.0.1", "localhost")
