"""The database roles: one login per service, one for operators, one for analysts' projections, and the group of those
who read one org only.
"""

from collections.abc import Mapping, Sequence

from psycopg import AsyncConnection, sql

from wepeople_provision.errors import ProvisionError

PROJECTOR_ROLE = "wepeople_projector"
SERVICE_ROLES = ("wepeople_auth", "wepeople_quota", PROJECTOR_ROLE)
ANALYST_ROLE = "wepeople_analyst"
"""Owns the schemas of all projections that are not built in."""
OPERATOR_ROLE = "wepeople_operator"
READER_ROLE = "wepeople_reader"
LOGIN_ROLES = (*SERVICE_ROLES, ANALYST_ROLE, OPERATOR_ROLE)

ANALYST_CONNECTIONS = 40
"""Of the server's 100 or more: however many projections run, the services find theirs."""

LARGE_OBJECT_FUNCTIONS = ("lo_creat(integer)", "lo_create(oid)", "lo_from_bytea(oid, bytea)")
"""By these, everybody who can log in may write to the disk unless it is taken from PUBLIC."""


async def provision_roles(connection: AsyncConnection, passwords: Mapping[str, str]) -> list[str]:
    """Make the roles that are missing and set every login role's password; `ProvisionError` when one has none."""
    if missing := [role for role in LOGIN_ROLES if not passwords.get(role)]:
        raise ProvisionError(f"There is no password for {', '.join(missing)}. Add it to the role passwords file.")
    done = []
    for role in LOGIN_ROLES:
        created = await ensure_login_role(connection, role, passwords[role])
        done.append(f"role {role}: {'created' if created else 'password set'}")
    await connection.execute(
        sql.SQL("ALTER ROLE {} CONNECTION LIMIT {}").format(
            sql.Identifier(ANALYST_ROLE), sql.Literal(ANALYST_CONNECTIONS)
        )
    )
    if not await _role_exists(connection, READER_ROLE):
        await connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(READER_ROLE)))
        done.append(f"role {READER_ROLE}: created")
    return done


async def ensure_login_role(connection: AsyncConnection, role: str, password: str) -> bool:
    """Make a role that may log in, or give it this password; whether it was new.

    The password goes to the server as a SCRAM verifier, so that no statement log can show it.
    """
    verifier = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
    exists = await _role_exists(connection, role)
    statement = "ALTER ROLE {} LOGIN PASSWORD {}" if exists else "CREATE ROLE {} LOGIN PASSWORD {}"
    await connection.execute(sql.SQL(statement).format(sql.Identifier(role), sql.Literal(verifier)))
    return not exists


async def grant_on_database(connection: AsyncConnection) -> None:
    """Let the roles into the connection's database, services and analysts also create schemas, and PUBLIC nothing.

    Grants on a database belong to it alone: one made from a template has none of them.
    """
    database = sql.Identifier(connection.info.dbname)
    await connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database))
    await connection.execute(
        sql.SQL("GRANT CONNECT, CREATE, TEMPORARY ON DATABASE {} TO {}").format(
            database, _identifiers([*SERVICE_ROLES, ANALYST_ROLE])
        )
    )
    await connection.execute(
        sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(database, _identifiers([OPERATOR_ROLE, READER_ROLE]))
    )
    await connection.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
    for function in LARGE_OBJECT_FUNCTIONS:
        await connection.execute(sql.SQL("REVOKE EXECUTE ON FUNCTION {} FROM PUBLIC").format(sql.SQL(function)))


def _identifiers(names: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, names))


async def _role_exists(connection: AsyncConnection, role: str) -> bool:
    found = await connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [role])
    return await found.fetchone() is not None
