"""The demo org: something to send events to in the first minute."""

import json

import typer
from nats.aio.client import Client

from wepeople_chassis.operator import Operator, operator_connection, run, stdout
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

ORG_NAME = "Demo"
APP_SLUG = "ci"
EVENT_TYPES = ["deploy.shipped", "review.done", "incident.resolved"]


async def found_demo(connection: Client, remembered_key: str = "") -> tuple[App, str]:
    """The demo org's app and a key of it; what is missing of them is made.

    A key of before is kept unless it was revoked. `Refused` or `Unavailable` when auth does not do its part.
    """
    app = await _find_or_create_app(connection, await _find_or_create_org(connection))
    return app, await _keep_or_create_key(connection, app.app_id, remembered_key)


async def _find_or_create_org(connection: Client) -> str:
    known = await call(connection, auth_command("list_orgs"), Nothing(), OrgList)
    for org in known.orgs:
        if org.name == ORG_NAME:
            return org.org_id
    return (await call(connection, auth_command("create_org"), CreateOrg(name=ORG_NAME), Org)).org_id


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


def demo(as_json: bool = typer.Option(False, "--json", help="Print one JSON object.")) -> None:
    """Make an org to try things with, and print a key of it. Again it makes another key, and nothing else."""

    async def work(operator: Operator) -> None:
        async with operator_connection(operator) as connection:
            app, api_key = await found_demo(connection)
        values = {"organizationId": app.org_id, "appSlug": app.slug, "apiKey": api_key}
        if as_json:
            print(json.dumps(values, indent=2))
            return
        types = ", ".join(app.allowed_event_types)
        stdout.print(
            f"The org {ORG_NAME} ({app.org_id}) has the app {app.slug}, which may send {types}.\n"
            f"A key of it, shown this once:\n\n    {api_key}\n",
            highlight=False,
            markup=False,
        )

    run(work)
