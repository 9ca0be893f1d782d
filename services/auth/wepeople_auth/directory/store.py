"""Orgs and apps in Postgres; each method works inside its caller's transaction."""

from psycopg.rows import class_row

from wepeople_auth.database import Connection, load_queries
from wepeople_contracts.operators import App, Org, Plan

_QUERIES = load_queries("wepeople_auth.directory", "directory.sql")


class DirectoryStore:
    """Reads and writes orgs, plans, apps and whitelists."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def plan(self, name: str) -> Plan | None:
        """A plan by its name."""
        async with self._connection.cursor(row_factory=class_row(Plan)) as cursor:
            await cursor.execute(_QUERIES["plan"], {"plan": name})
            return await cursor.fetchone()

    async def plan_names(self) -> list[str]:
        """The names of all plans."""
        found = await self._connection.execute(_QUERIES["plan_names"])
        return [name for (name,) in await found.fetchall()]

    async def insert_org(self, org_id: str, name: str, plan: Plan, salt: bytes) -> Org:
        """Store a new org."""
        values = {"org_id": org_id, "name": name, "plan": plan.name, "salt": salt}
        row = await (await self._connection.execute(_QUERIES["insert_org"], values)).fetchone()
        assert row is not None
        return Org(org_id=org_id, name=name, plan=plan, created_at=row[0])

    async def set_plan(self, org_id: str, plan: Plan) -> Org | None:
        """Move an org to a plan; None when there is no such org."""
        values = {"org_id": org_id, "plan": plan.name}
        row = await (await self._connection.execute(_QUERIES["set_plan"], values)).fetchone()
        return None if row is None else Org(org_id=org_id, name=row[0], plan=plan, created_at=row[1])

    async def list_orgs(self) -> list[Org]:
        """Every org, oldest first."""
        found = await self._connection.execute(_QUERIES["list_orgs"])
        return [
            Org(
                org_id=org_id,
                name=name,
                created_at=created_at,
                plan=Plan(
                    name=plan,
                    max_events_per_month=month,
                    key_requests_per_second=key_rate,
                    org_requests_per_second=org_rate,
                ),
            )
            for org_id, name, created_at, plan, month, key_rate, org_rate in await found.fetchall()
        ]

    async def org_exists(self, org_id: str) -> bool:
        """Whether there is such an org."""
        row = await (await self._connection.execute(_QUERIES["org_exists"], {"org_id": org_id})).fetchone()
        return bool(row and row[0])

    async def insert_app(self, app_id: str, org_id: str, slug: str) -> bool:
        """Store a new app; False when the org has one of that slug."""
        values = {"app_id": app_id, "org_id": org_id, "slug": slug}
        return await (await self._connection.execute(_QUERIES["insert_app"], values)).fetchone() is not None

    async def apps_of(self, org_id: str) -> list[App]:
        """An org's apps, oldest first."""
        return await self._apps(org_id=org_id, app_id=None)

    async def app(self, app_id: str) -> App | None:
        """An app by its id."""
        found = await self._apps(org_id=None, app_id=app_id)
        return found[0] if found else None

    async def lock_app(self, app_id: str) -> bool:
        """Keep others from changing the app until the transaction ends; False when there is none."""
        return await (await self._connection.execute(_QUERIES["lock_app"], {"app_id": app_id})).fetchone() is not None

    async def allow(self, app_id: str, event_types: list[str]) -> None:
        """Add event types to an app's whitelist; those on it already stay."""
        await self._connection.execute(_QUERIES["allow"], {"app_id": app_id, "event_types": event_types})

    async def _apps(self, *, org_id: str | None, app_id: str | None) -> list[App]:
        async with self._connection.cursor(row_factory=class_row(App)) as cursor:
            await cursor.execute(_QUERIES["apps"], {"org_id": org_id, "app_id": app_id})
            return await cursor.fetchall()
