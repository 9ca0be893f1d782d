"""What operators do with orgs, apps and directories.

A command that tells the stream something first makes sure that JetStream is there, so that a refusal means that
nothing happened; it answers once its fact is stored, so that no event of an app can precede the app.
"""

from wepeople_auth.database import Connection, act_for_org_of_app, transaction
from wepeople_auth.directory.facts import app_created, org_founded, outbox_fact, workers_imported
from wepeople_auth.directory.outbox import Outbox
from wepeople_auth.directory.store import DirectoryStore
from wepeople_auth.directory.whitelist import check_count, checked_event_types
from wepeople_auth.names import checked_name
from wepeople_auth.refusals import already_exists, invalid, not_found
from wepeople_chassis.postgres import Pool, act_across_orgs, act_for_org
from wepeople_chassis.rpc import Refused
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
    Org,
    OrgList,
    Plan,
)


class DirectoryCommands:
    """Founds orgs, creates apps, fills whitelists, imports workers."""

    def __init__(self, pool: Pool, outbox: Outbox) -> None:
        self._pool = pool
        self._outbox = outbox

    async def create_org(self, command: CreateOrg) -> Org:
        """Found an org on a plan; names may repeat, ids never do."""
        name = checked_name(command.name, "org's name")
        if not name:
            raise invalid("An org needs a name that is not blank.")
        await self._outbox.require_stream()
        founded = org_founded(name)
        fact = outbox_fact(founded)
        async with transaction(self._pool) as connection:
            await act_for_org(connection, founded.org_id)
            store = DirectoryStore(connection)
            plan = await _known_plan(store, command.plan)
            org = await store.insert_org(founded.org_id, name, plan, founded.salt)
            await self._outbox.write(connection, fact)
        await self._outbox.deliver(fact, f"The org {org.org_id} is founded")
        return org

    async def list_orgs(self) -> OrgList:
        """Every org."""
        async with transaction(self._pool) as connection:
            await act_across_orgs(connection, "list_orgs")
            return OrgList(orgs=await DirectoryStore(connection).list_orgs())

    async def change_plan(self, command: ChangePlan) -> Org:
        """Move an org to another plan, which gateways know of within 60 seconds; what the month has used stays used."""
        async with transaction(self._pool) as connection:
            await _act_for(connection, command.org_id)
            store = DirectoryStore(connection)
            org = await store.set_plan(command.org_id, await _known_plan(store, command.plan))
        if org is None:
            raise _unknown_org(command.org_id)
        return org

    async def create_app(self, command: CreateApp) -> App:
        """Create an app; `already_exists` when the org has one of that slug."""
        event_types = checked_event_types(command.allowed_event_types)
        await self._outbox.require_stream()
        created = app_created(command.org_id, command.slug)
        fact = outbox_fact(created)
        async with transaction(self._pool) as connection:
            await _act_for(connection, command.org_id)
            store = DirectoryStore(connection)
            if not await store.org_exists(command.org_id):
                raise _unknown_org(command.org_id)
            if not await store.insert_app(created.app_id, command.org_id, command.slug):
                raise already_exists(
                    f"The org {command.org_id} has an app {command.slug!r} already. Use that one, or another slug."
                )
            await store.allow(created.app_id, event_types)
            app = await store.app(created.app_id)
            await self._outbox.write(connection, fact)
        assert app is not None
        await self._outbox.deliver(fact, f"The app {app.app_id} is created")
        return app

    async def list_apps(self, question: ListApps) -> AppList:
        """An org's apps; `not_found` for an unknown org."""
        async with transaction(self._pool) as connection:
            await _act_for(connection, question.org_id)
            store = DirectoryStore(connection)
            if not await store.org_exists(question.org_id):
                raise _unknown_org(question.org_id)
            return AppList(apps=await store.apps_of(question.org_id))

    async def allow_event_types(self, command: AllowEventTypes) -> App:
        """Add event types to an app's whitelist; gateways know of it within 60 seconds."""
        event_types = checked_event_types(command.event_types)
        async with transaction(self._pool) as connection:
            await act_for_org_of_app(connection, command.app_id)
            store = DirectoryStore(connection)
            if not await store.lock_app(command.app_id):
                raise not_found(f"There is no app {command.app_id!r}. `wepeople app list ORG` shows an org's apps.")
            await store.allow(command.app_id, event_types)
            app = await store.app(command.app_id)
            assert app is not None
            check_count(len(app.allowed_event_types))
        return app

    async def import_workers(self, command: ImportWorkers) -> Imported:
        """Bring people into an org's directory; importing somebody again only renews the name."""
        imported = workers_imported(command.org_id, command.workers)
        await self._outbox.require_stream()
        fact = outbox_fact(imported)
        async with transaction(self._pool) as connection:
            await _act_for(connection, command.org_id)
            if not await DirectoryStore(connection).org_exists(command.org_id):
                raise _unknown_org(command.org_id)
            await self._outbox.write(connection, fact)
        sequence = await self._outbox.deliver(fact, f"{len(imported.workers)} workers are taken in")
        return Imported(count=len(imported.workers), sequence=sequence)


async def _known_plan(store: DirectoryStore, name: str) -> Plan:
    plan = await store.plan(name)
    if plan is None:
        raise not_found(f"There is no plan {name!r}. Plans: {', '.join(await store.plan_names())}.")
    return plan


async def _act_for(connection: Connection, org_id: str) -> None:
    """As `act_for_org`; `not_found` where no org was named."""
    if not org_id:
        raise _unknown_org(org_id)
    await act_for_org(connection, org_id)


def _unknown_org(org_id: str) -> Refused:
    return not_found(f"There is no org {org_id!r}. `wepeople org list` shows all.")
