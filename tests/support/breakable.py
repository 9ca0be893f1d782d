"""A whole system of its own, servers included, for tests that break it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.nats_users import GUEST, SEEDS
from tests.support.operators import Operators, operators
from wepeople_embedded.ports import free_port
from wepeople_embedded.state import open_state_dir
from wepeople_embedded.system import System


@dataclass(frozen=True, slots=True)
class Breakable:
    """The system as `wepeople up` runs it, and a connection that outlives its failures."""

    system: System
    operator: Operators

    async def mend(self) -> None:
        """Start whatever is not running; returns once every part works."""
        if not self.system.nats.child.is_running:
            await self.system.nats.start()
        if not self.system.postgres.child.is_running:
            await self.system.postgres.start()
        for service in self.system.services.values():
            if not service.child.is_running:
                service.start()
        for service in self.system.services.values():
            await service.wait_ready(self.operator.connection)


@asynccontextmanager
async def breakable_system(directory: Path) -> AsyncIterator[Breakable]:
    """Start everything in an empty directory."""
    with open_state_dir(directory) as state:
        # Gateways of tests beside the system's own come with the tests' keys.
        state.write("nats_seeds.json", SEEDS)
        system = System(state, gateway_port=free_port(), guest=GUEST)
        try:
            await system.start()
            async with operators(system.nats.url) as operator:
                yield Breakable(system, operator)
        finally:
            await system.stop()
