"""Where operators' commands about orgs, apps and workers arrive over NATS."""

from faststream.nats import NatsBroker

from wepeople_auth.directory.commands import DirectoryCommands
from wepeople_contracts.operators import (
    AllowEventTypes,
    App,
    AppList,
    ChangePlan,
    CreateApp,
    CreateOrg,
    Imported,
    ImportWorkers,
    ListApps,
    Nothing,
    Org,
    OrgList,
)
from wepeople_contracts.reply import Reply
from wepeople_contracts.subjects import auth_command

QUEUE = "auth"
WORKERS = 8


def serve_directory_commands(broker: NatsBroker, commands: DirectoryCommands) -> None:
    """Answer them, one auth process each; a command that waits for JetStream holds no other up."""

    @broker.subscriber(auth_command("create_org"), queue=QUEUE, max_workers=WORKERS)
    async def create_org(command: CreateOrg) -> Reply[Org]:
        return Reply[Org](ok=await commands.create_org(command))

    @broker.subscriber(auth_command("list_orgs"), queue=QUEUE, max_workers=WORKERS)
    async def list_orgs(_: Nothing) -> Reply[OrgList]:
        return Reply[OrgList](ok=await commands.list_orgs())

    @broker.subscriber(auth_command("change_plan"), queue=QUEUE, max_workers=WORKERS)
    async def change_plan(command: ChangePlan) -> Reply[Org]:
        return Reply[Org](ok=await commands.change_plan(command))

    @broker.subscriber(auth_command("create_app"), queue=QUEUE, max_workers=WORKERS)
    async def create_app(command: CreateApp) -> Reply[App]:
        return Reply[App](ok=await commands.create_app(command))

    @broker.subscriber(auth_command("list_apps"), queue=QUEUE, max_workers=WORKERS)
    async def list_apps(question: ListApps) -> Reply[AppList]:
        return Reply[AppList](ok=await commands.list_apps(question))

    @broker.subscriber(auth_command("allow_event_types"), queue=QUEUE, max_workers=WORKERS)
    async def allow_event_types(command: AllowEventTypes) -> Reply[App]:
        return Reply[App](ok=await commands.allow_event_types(command))

    @broker.subscriber(auth_command("import_workers"), queue=QUEUE, max_workers=WORKERS)
    async def import_workers(command: ImportWorkers) -> Reply[Imported]:
        return Reply[Imported](ok=await commands.import_workers(command))
