"""Logins for people and scripts that may see one org's read models and change nothing."""

from psycopg import sql

from wepeople_chassis.postgres import act_across_orgs
from wepeople_provision.database import database_at
from wepeople_provision.roles import READER_ROLE, ensure_login_role, look_for_own_names_only

STATEMENT_TIMEOUT_SECONDS = 60
CONNECTIONS = 5
"""Of the server's 100 or more, at one time."""


async def create_reader(admin_dsn: str, projector_dsn: str, role: str, password: str, org_id: str) -> None:
    """Make the login `role`, or give it this password, and let it read the org's rows and no other's.

    Row policies of the projector's schema do the limiting, by the table `live.reader_orgs`. The projector's own login
    writes there, as a superuser would run what stands behind the table. `ProvisionError` when Postgres is away.
    """
    name = sql.Identifier(role)
    async with database_at(admin_dsn) as connection, connection.transaction():
        await ensure_login_role(connection, role, password)
        await look_for_own_names_only(connection, role)
        await connection.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(READER_ROLE), name))
        limit = sql.SQL("ALTER ROLE {} CONNECTION LIMIT {}").format(name, sql.Literal(CONNECTIONS))
        await connection.execute(limit)
        await connection.execute(sql.SQL("ALTER ROLE {} SET default_transaction_read_only = on").format(name))
        await connection.execute(
            sql.SQL("ALTER ROLE {} SET statement_timeout = {}").format(name, f"{STATEMENT_TIMEOUT_SECONDS}s")
        )
    async with database_at(projector_dsn) as projector, projector.transaction():
        await act_across_orgs(projector, "readers")
        await projector.execute(
            "INSERT INTO live.reader_orgs (role_name, org_id) VALUES (%s, %s) ON CONFLICT DO NOTHING", [role, org_id]
        )
