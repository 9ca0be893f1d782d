"""The demo org: something to send events to in the first minute."""

import asyncio
import time

import aiohttp
from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from wepeople_chassis.broker import NatsAddress, connect
from wepeople_embedded.errors import EmbeddedError
from wepeople_embedded.state import DEMO_READER, StateDir
from wepeople_provision.demo import found_demo
from wepeople_provision.dsn import login_dsn
from wepeople_provision.readers import create_reader

DEMO_FILE = "demo.json"
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
    state: StateDir, *, gateway_url: str, nats: NatsAddress, admin_dsn: str, projector_dsn: str, reader_password: str
) -> Demo:
    """Find or create the demo org, app, key and reader, and write `demo.json`; `nats` is an operator's.

    The key of an earlier run is kept unless it was revoked. `Refused` or `Unavailable` when auth does not do its part.
    """
    connection = await connect(nats, "wepeople-demo")
    try:
        app, api_key = await found_demo(connection, state.read(DEMO_FILE).get("apiKey", ""))
    finally:
        await connection.close()
    await create_reader(admin_dsn, projector_dsn, DEMO_READER, reader_password, app.org_id)
    demo = Demo(
        gateway_url=gateway_url,
        api_key=api_key,
        organization_id=app.org_id,
        app_slug=app.slug,
        nats_url=nats.url,
        postgres_dsn=login_dsn(admin_dsn, DEMO_READER, reader_password),
    )
    state.write(DEMO_FILE, demo.model_dump(by_alias=True))
    return demo


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
