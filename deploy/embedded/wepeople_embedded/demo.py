"""The demo org: something to send events to in the first minute."""

import asyncio
import time

import aiohttp
from nats.aio.client import Client
from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from wepeople_chassis.broker import NatsAddress, connect
from wepeople_chassis.rpc import call
from wepeople_contracts.ids import key_public_id
from wepeople_contracts.operators import (
    App,
    AppList,
    CreateApp,
    CreateKey,
    CreateOrg,
    KeyList,
    ListApps,
    ListKeys,
    NewKey,
    Nothing,
    Org,
    OrgList,
)
from wepeople_contracts.subjects import auth_command
from wepeople_embedded.errors import EmbeddedError
from wepeople_embedded.state import DEMO_READER, StateDir
from wepeople_provision.dsn import login_dsn
from wepeople_provision.readers import create_reader

DEMO_FILE = "demo.json"
ORG_NAME = "Demo"
APP_SLUG = "ci"
EVENT_TYPES = ["deploy.shipped", "review.done", "incident.resolved"]
_PING_SECONDS = 5.0


class PingFailed(EmbeddedError):
    """The gateway runs, and does not let the demo key in."""

    def __init__(self, url: str, answer: str, state: StateDir) -> None:
        super().__init__(f"{url} answered {answer} to the demo key. The logs are in {state.logs}")


class Demo(BaseModel):
    """What `demo.json` holds, for scripts; `postgres_dsn` is a read-only login that sees the demo org alone."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    gateway_url: str
    api_key: str
    organization_id: str
    app_slug: str
    nats_url: str
    postgres_dsn: str


async def make_demo(
    state: StateDir, *, gateway_url: str, nats: NatsAddress, admin_dsn: str, reader_password: str
) -> Demo:
    """Find or create the demo org, app, key and reader, and write `demo.json`; `nats` is an operator's.

    The key of an earlier run is kept unless it was revoked. `Refused` or `Unavailable` when auth does not do its part.
    """
    connection = await connect(nats, "wepeople-demo")
    try:
        org = await _find_or_create_org(connection)
        app = await _find_or_create_app(connection, org.org_id)
        api_key = await _keep_or_create_key(connection, app.app_id, state.read(DEMO_FILE).get("apiKey", ""))
    finally:
        await connection.close()
    await create_reader(admin_dsn, DEMO_READER, reader_password, org.org_id)
    demo = Demo(
        gateway_url=gateway_url,
        api_key=api_key,
        organization_id=org.org_id,
        app_slug=app.slug,
        nats_url=nats.url,
        postgres_dsn=login_dsn(admin_dsn, DEMO_READER, reader_password),
    )
    state.write(DEMO_FILE, demo.model_dump(by_alias=True))
    return demo


async def _find_or_create_org(connection: Client) -> Org:
    known = await call(connection, auth_command("list_orgs"), Nothing(), OrgList)
    for org in known.orgs:
        if org.name == ORG_NAME:
            return org
    return await call(connection, auth_command("create_org"), CreateOrg(name=ORG_NAME), Org)


async def _find_or_create_app(connection: Client, org_id: str) -> App:
    known = await call(connection, auth_command("list_apps"), ListApps(org_id=org_id), AppList)
    for app in known.apps:
        if app.slug == APP_SLUG:
            return app
    request = CreateApp(org_id=org_id, slug=APP_SLUG, allowed_event_types=EVENT_TYPES)
    return await call(connection, auth_command("create_app"), request, App)


async def _keep_or_create_key(connection: Client, app_id: str, remembered: str) -> str:
    known = await call(connection, auth_command("list_keys"), ListKeys(app_id=app_id), KeyList)
    if any(key.key_id == key_public_id(remembered) and key.revoked_at is None for key in known.keys):
        return remembered
    return (await call(connection, auth_command("create_key"), CreateKey(app_id=app_id, name="demo"), NewKey)).token


async def ping(demo: Demo, state: StateDir) -> None:
    """Prove with one real request that the gateway lets the demo key in; `PingFailed` when it does not."""
    url = f"{demo.gateway_url}/api/v1/ingest/ping"
    deadline = time.monotonic() + _PING_SECONDS
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {demo.api_key}"}) as session:
        while True:
            try:
                async with session.get(url) as response:
                    if response.status == 200:  # noqa: PLR2004
                        return
                    answer = f"{response.status} {await response.text()}"
            except aiohttp.ClientError as error:
                answer = repr(error)
            if time.monotonic() > deadline:
                raise PingFailed(url, answer, state)
            await asyncio.sleep(0.1)
