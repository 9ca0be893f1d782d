"""A whole running system on the tests' servers: every service as a process, and the demo org."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.fresh import Template, fresh_system
from tests.support.nats_users import SEEDS, nats_as
from wepeople_chassis.broker import NatsAddress, connect
from wepeople_embedded.demo import Demo, make_demo, ping
from wepeople_embedded.ports import HOST, free_port
from wepeople_embedded.services import START_ORDER, ServiceProcess, make_services
from wepeople_embedded.state import open_state_dir


@dataclass(frozen=True, slots=True)
class RunningSystem:
    """Where it is, and its services, to stop and start."""

    demo: Demo
    operator_dsn: str
    admin_dsn: str
    state_dir: Path
    services: dict[str, ServiceProcess]

    @property
    def gateway_url(self) -> str:
        return self.demo.gateway_url

    @property
    def projector_dsn(self) -> str:
        return str(json.loads((self.state_dir / "operator.json").read_text())["projector_dsn"])

    @property
    def api_key(self) -> str:
        return self.demo.api_key

    @property
    def nats_url(self) -> str:
        return self.demo.nats_url


@asynccontextmanager
async def running_system(template: Template, directory: Path) -> AsyncIterator[RunningSystem]:
    """Start everything; returns once a real ping was answered."""
    port = free_port()
    with open_state_dir(directory) as state:
        async with fresh_system(template) as fresh:
            services = make_services(
                nats_url=fresh.nats_url,
                seeds=SEEDS,
                admin_dsn=fresh.admin_dsn,
                passwords=fresh.passwords,
                gateway_port=port,
                logs=state.logs,
            )
            try:
                await start_all(services, fresh.nats_url)
                demo = await make_demo(
                    state,
                    gateway_url=f"http://{HOST}:{port}",
                    nats=nats_as("operator", fresh.nats_url),
                    admin_dsn=fresh.admin_dsn,
                    projector_dsn=fresh.dsn("projector"),
                    reader_password=secrets.token_urlsafe(12),
                )
                await ping(demo, state)
                operator_dsn = fresh.dsn("operator")
                state.write(
                    "operator.json",
                    {
                        "nats_url": fresh.nats_url,
                        "nats_seed": SEEDS["operator"],
                        "postgres_dsn": operator_dsn,
                        "analyst_dsn": fresh.dsn("analyst"),
                        "projector_dsn": fresh.dsn("projector"),
                    },
                )
                yield RunningSystem(demo, operator_dsn, fresh.admin_dsn, state.path, services)
            finally:
                for name in reversed(START_ORDER):
                    await services[name].stop()
            assert denied(services) == [], "a service tried what its NATS user may not do"


def denied(services: dict[str, ServiceProcess]) -> list[str]:
    """What the services' logs say of things that NATS refused them."""
    logs = [service.child.log_path.read_text() for service in services.values()]
    return [line for text in logs for line in text.splitlines() if "nats_permission_denied" in line]


async def start_all(services: dict[str, ServiceProcess], nats_url: str) -> None:
    """Start the services at once and wait for each."""
    for service in services.values():
        service.start()
    connection = await connect(NatsAddress(nats_url), "tests-ready")
    try:
        await asyncio.gather(*(service.wait_ready(connection) for service in services.values()))
    finally:
        await connection.close()
