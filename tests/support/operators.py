"""What an operator does before a test can begin: orgs, apps, keys, and a look at the month."""

import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from nats.aio.client import Client
from psycopg import AsyncConnection

from tests.support.nats_users import nats_unbound
from wepeople_chassis.broker import connect
from wepeople_chassis.rpc import call
from wepeople_contracts.operators import App, CreateApp, CreateKey, CreateOrg, Key, NewKey, Org, RevokeKey
from wepeople_contracts.quota import Usage, UsageQuery
from wepeople_contracts.subjects import auth_command, usage_subject

EVENT_TYPE = "deploy.shipped"

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Caller:
    """An app of an org of its own, and a key of it."""

    org_id: str
    app_id: str
    key_id: str
    token: str


class Operators:
    """Commands to auth and questions to quota, by the same requests that the command line sends."""

    def __init__(self, connection: Client) -> None:
        self.connection = connection

    async def caller(
        self, plan: str = "scale", *, event_types: Sequence[str] = (EVENT_TYPE,), requests_per_second: int | None = None
    ) -> Caller:
        """A new org on a plan (`scale` never stands in a test's way), with one app and one key."""
        name = f"Test {next(_numbers)}"
        org = await call(self.connection, auth_command("create_org"), CreateOrg(name=name, plan=plan), Org)
        request = CreateApp(org_id=org.org_id, slug="ci", allowed_event_types=list(event_types))
        app = await call(self.connection, auth_command("create_app"), request, App)
        new_key = await self.key(app.app_id, requests_per_second)
        return Caller(org.org_id, app.app_id, new_key.key.key_id, new_key.token)

    async def key(self, app_id: str, requests_per_second: int | None = None) -> NewKey:
        """Another key of an app."""
        request = CreateKey(app_id=app_id, name="test", requests_per_second=requests_per_second)
        return await call(self.connection, auth_command("create_key"), request, NewKey)

    async def revoke(self, key_id: str) -> None:
        """Revoke a key for good."""
        await call(self.connection, auth_command("revoke_key"), RevokeKey(key_id=key_id), Key)

    async def usage(self, org_id: str) -> Usage:
        """The org's month as quota knows it."""
        return await call(self.connection, usage_subject(org_id), UsageQuery(org_id=org_id), Usage)


async def make_plan(
    admin_dsn: str, name: str, *, max_events_per_month: int | None, org_requests_per_second: int = 20_000
) -> None:
    """Sell a plan; the commands of operators sell none, because plans come with the schema."""
    async with await AsyncConnection.connect(admin_dsn) as connection:
        await connection.execute(
            "INSERT INTO auth.plans (name, max_events_per_month, key_requests_per_second, org_requests_per_second) "
            "VALUES (%s, %s, 5000, %s) ON CONFLICT DO NOTHING",
            [name, max_events_per_month, org_requests_per_second],
        )


@asynccontextmanager
async def operators(nats_url: str) -> AsyncIterator[Operators]:
    """A connection to a running system for such commands."""
    connection = await connect(nats_unbound(nats_url), "tests-operator")
    try:
        yield Operators(connection)
    finally:
        await connection.close()
