"""Logins for people and scripts that may see one org's read models and change nothing."""

from psycopg import AsyncConnection, sql

from wepeople_provision.roles import READER_ROLE, ensure_login_role

STATEMENT_TIMEOUT_SECONDS = 60


async def create_reader(admin_dsn: str, role: str, password: str, org_id: str) -> None:
    """Make the login `role`, or give it this password, and let it read the org's rows and no other's.

    Row policies of the projector's schema do the limiting, by the table `live.reader_orgs`.
    """
    name = sql.Identifier(role)
    async with await AsyncConnection.connect(admin_dsn) as connection:
        await ensure_login_role(connection, role, password)
        await connection.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(READER_ROLE), name))
        await connection.execute(sql.SQL("ALTER ROLE {} SET default_transaction_read_only = on").format(name))
        await connection.execute(
            sql.SQL("ALTER ROLE {} SET statement_timeout = {}").format(name, f"{STATEMENT_TIMEOUT_SECONDS}s")
        )
        await connection.execute(
            "INSERT INTO live.reader_orgs (role_name, org_id) VALUES (%s, %s) ON CONFLICT DO NOTHING", [role, org_id]
        )
