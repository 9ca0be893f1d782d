"""Auth alone, as a process, and a connection that asks it."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from nats.aio.client import Client
from pydantic import BaseModel

from tests.support.nats_users import nats_environment
from wepeople_chassis.broker import NatsAddress, connect
from wepeople_chassis.rpc import Refused, call
from wepeople_contracts.auth import Authenticate, Principal
from wepeople_contracts.operators import App, CreateApp, CreateKey, CreateOrg, NewKey, Org
from wepeople_contracts.reply import RpcError
from wepeople_contracts.subjects import AUTHENTICATE, auth_command
from wepeople_embedded.services import ServiceProcess

T = TypeVar("T", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Auth:
    """What gateways and operators ask, in short."""

    process: ServiceProcess
    connection: Client

    async def authenticate(self, token: str) -> Principal:
        return await call(self.connection, AUTHENTICATE, Authenticate(token=token), Principal)

    async def command(self, name: str, request: BaseModel, ok: type[T], *, timeout_seconds: float = 10.0) -> T:
        return await call(self.connection, auth_command(name), request, ok, timeout_seconds=timeout_seconds)

    async def org(self, name: str = "Acme", plan: str = "standard") -> Org:
        return await self.command("create_org", CreateOrg(name=name, plan=plan), Org)

    async def app(self, org: Org, slug: str = "ci", event_types: tuple[str, ...] = ("deploy.shipped",)) -> App:
        request = CreateApp(org_id=org.org_id, slug=slug, allowed_event_types=list(event_types))
        return await self.command("create_app", request, App)

    async def key(self, app: App, requests_per_second: int | None = None) -> NewKey:
        request = CreateKey(app_id=app.app_id, requests_per_second=requests_per_second)
        return await self.command("create_key", request, NewKey)


async def refusal(asking: Awaitable[BaseModel]) -> RpcError:
    """The error of a request that must be refused."""
    try:
        answer = await asking
    except Refused as refused:
        return refused.error
    raise AssertionError(f"not refused, but answered: {answer!r}")


async def until(holds: Callable[[], Awaitable[bool]], *, within_seconds: float = 10.0) -> None:
    """Return once it holds; fail when it does not in time."""
    deadline = time.monotonic() + within_seconds
    while not await holds():
        assert time.monotonic() < deadline, f"did not come true within {within_seconds} s"
        await asyncio.sleep(0.05)


def auth_service(nats_url: str, dsn: str, log_path: Path, **settings: object) -> ServiceProcess:
    """The process, not started yet; bcrypt as cheap as it gets unless the test says otherwise."""
    environment = nats_environment("auth", nats_url) | {"WEPEOPLE_POSTGRES_DSN": dsn, "WEPEOPLE_BCRYPT_COST": "4"}
    environment |= {f"WEPEOPLE_{name.upper()}": str(value) for name, value in settings.items()}
    return ServiceProcess("auth", environment, log_path)


@asynccontextmanager
async def running_auth(nats_url: str, dsn: str, log_path: Path, **settings: object) -> AsyncIterator[Auth]:
    """One auth process that is ready; it must stop in order at the end."""
    process = auth_service(nats_url, dsn, log_path, **settings)
    connection = await connect(NatsAddress(nats_url), "test-auth")
    process.start()
    try:
        await process.wait_ready(connection)
        yield Auth(process, connection)
    finally:
        await connection.close()
        assert await process.stop() == 0, process.child.log_tail()
