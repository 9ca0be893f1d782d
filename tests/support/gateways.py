"""Gateways beside the running system's own: with other settings, or between proxies, to be killed at a chosen point."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from tests.support.client import client
from tests.support.nats_users import nats_environment
from tests.support.proxy import Proxy, proxy
from tests.support.read_models import eventually
from wepeople_embedded.ports import HOST, free_port
from wepeople_embedded.services import ServiceProcess

PUBLISH = b"HPUB ingest."
"""What the gateway sends to NATS to store a request."""

POST = b"POST /api/v1/ingest/"
"""What a client sends to the gateway to have it stored."""


class Gateway:
    """One process."""

    def __init__(self, nats_url: str, log_path: Path, **settings: object) -> None:
        self.port = free_port()
        self.log_path = log_path
        self.url = f"{'https' if 'http_certificate_file' in settings else 'http'}://{HOST}:{self.port}"
        environment = nats_environment("gateway", nats_url) | {"WEPEOPLE_HTTP_PORT": str(self.port)}
        environment |= {f"WEPEOPLE_{name.upper()}": str(value) for name, value in settings.items()}
        self._process = ServiceProcess("gateway", environment, log_path)

    @property
    def pid(self) -> int:
        return self._process.child.pid

    async def start(self) -> None:
        """Start it; returns once it answers."""
        self._process.start()

        async def answers() -> bool:
            assert self._process.child.is_running, self._process.child.log_tail()
            try:
                async with client(self.url, None, timeout_seconds=2) as nobody:
                    return (await nobody.ping()).status == 401
            except (aiohttp.ClientError, TimeoutError):
                return False

        await eventually(answers, bool, within_seconds=60, what="a gateway that answers")

    async def kill(self) -> None:
        """SIGKILL."""
        await self._process.kill()

    async def stop(self) -> None:
        await self._process.stop()


class ProxiedGateway:
    """A process whose clients, and whose NATS, are behind a proxy each; `url` is for its clients."""

    def __init__(self, process: Gateway, clients: Proxy, nats: Proxy) -> None:
        self.process = process
        self.clients = clients
        self.nats = nats
        self.url = f"http://{HOST}:{clients.port}"


@asynccontextmanager
async def running_gateway(nats_url: str, log_path: Path, **settings: object) -> AsyncIterator[Gateway]:
    """A gateway that answers; stopped at the end, whatever is left of it."""
    gateway = Gateway(nats_url, log_path, **settings)
    try:
        await gateway.start()
        yield gateway
    finally:
        await gateway.stop()


@asynccontextmanager
async def proxied_gateway(nats_url: str, log_path: Path, **settings: object) -> AsyncIterator[ProxiedGateway]:
    """The same, between proxies."""
    nats_port = urlsplit(nats_url).port
    assert nats_port is not None
    async with (
        proxy(nats_port) as nats,
        running_gateway(f"nats://{HOST}:{nats.port}", log_path, **settings) as process,
        proxy(process.port) as clients,
    ):
        yield ProxiedGateway(process, clients, nats)
