"""What is measured: a whole system of its own for each subject, and the bare limit's process beside it."""

import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from nats.aio.client import Client

from bench import bare
from bench.load import ROOT
from bench.rows import EVENT_TYPE
from wepeople_chassis.broker import NatsAddress, connect, is_ready, user_of_seed
from wepeople_chassis.rpc import call
from wepeople_contracts.operators import App, CreateApp, CreateKey, CreateOrg, NewKey, Org
from wepeople_contracts.subjects import auth_command
from wepeople_embedded.child import Child, ChildFailed
from wepeople_embedded.ports import free_port
from wepeople_embedded.state import StateDir, open_state_dir
from wepeople_embedded.system import System
from wepeople_provision.nkey_seeds import new_seed

STATE_ROOT = ROOT / ".wepeople" / "bench"
_PLAN = "scale"
_NO_LIMIT_PER_SECOND = 1_000_000
_BARE_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Ground:
    """A running system, an org whose key is not slowed by its rate, and a connection to NATS of the bench's own."""

    state: StateDir
    system: System
    connection: Client
    org_id: str
    app_id: str
    token: str

    @property
    def gateway_port(self) -> int:
        """Where the gateway listens."""
        return int(self.system.gateway_url.rpartition(":")[2])

    async def stop(self, service: str) -> None:
        """Stop one service."""
        await self.system.services[service].stop()

    async def start(self, service: str) -> None:
        """Start it again; returns once it can work."""
        self.system.services[service].start()
        await self.system.services[service].wait_ready(self.connection)

    async def new_key(self) -> str:
        """Another key of the app."""
        request = CreateKey(app_id=self.app_id, requests_per_second=_NO_LIMIT_PER_SECOND)
        return (await call(self.connection, auth_command("create_key"), request, NewKey)).token

    def cpu_seconds(self) -> dict[str, float]:
        """Processor time (user and system) that each process has used so far, Postgres with its backends."""
        return {child.name: cpu_seconds(child.pid) for child in self.system.children if child.is_running}


def cpu_seconds(pid: int) -> float:
    """Processor time of a process and its living children."""
    process = psutil.Process(pid)
    times = [p.cpu_times() for p in (process, *process.children(recursive=True))]
    return sum(t.user + t.system for t in times)


@asynccontextmanager
async def running_ground() -> AsyncIterator[Ground]:
    """Everything started, in a new directory; stopped and removed at the end."""
    STATE_ROOT.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = Path(tempfile.mkdtemp(dir=STATE_ROOT))
    try:
        with open_state_dir(path) as state:
            system = System(state, gateway_port=free_port(), guest=user_of_seed(new_seed()))
            try:
                await system.start()
                connection = await connect(NatsAddress(system.nats.url), "bench")
                try:
                    yield await _with_org(state, system, connection)
                finally:
                    await connection.close()
            finally:
                await system.stop()
    finally:
        shutil.rmtree(path)


async def _with_org(state: StateDir, system: System, connection: Client) -> Ground:
    org = await call(connection, auth_command("create_org"), CreateOrg(name="Bench", plan=_PLAN), Org)
    app_request = CreateApp(org_id=org.org_id, slug="bench", allowed_event_types=[EVENT_TYPE])
    app = await call(connection, auth_command("create_app"), app_request, App)
    key_request = CreateKey(app_id=app.app_id, requests_per_second=_NO_LIMIT_PER_SECOND)
    key = await call(connection, auth_command("create_key"), key_request, NewKey)
    return Ground(state, system, connection, org.org_id, app.app_id, key.token)


@asynccontextmanager
async def running_bare(ground: Ground) -> AsyncIterator[int]:
    """The bare limit's process beside the system, on the same nats-server; its port."""
    port = free_port()
    process = Child(
        "bare",
        [sys.executable, "-m", "bench.bare", ground.system.nats.url, str(port)],
        log_path=ground.state.log("bare"),
        environment=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    process.spawn()
    try:
        async with asyncio.timeout(_BARE_SECONDS):
            while not await is_ready(ground.connection, bare.NAME):
                if not process.is_running:
                    raise ChildFailed(process, "ended while starting")
                await asyncio.sleep(0.05)
        yield port
    finally:
        await process.stop()
