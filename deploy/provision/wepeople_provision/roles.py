"""The database roles: one login per service, one for operators, one for analysts' projections, and the group of those
who read one org only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from psycopg import AsyncConnection, sql

from wepeople_provision.change import Change
from wepeople_provision.errors import ProvisionError
from wepeople_provision.scram import is_verifier_of

PROJECTOR_ROLE = "wepeople_projector"
SERVICE_ROLES = ("wepeople_auth", "wepeople_quota", PROJECTOR_ROLE)
ANALYST_ROLE = "wepeople_analyst"
"""Owns the schemas of all projections that are not built in."""
OPERATOR_ROLE = "wepeople_operator"
READER_ROLE = "wepeople_reader"
LOGIN_ROLES = (*SERVICE_ROLES, ANALYST_ROLE, OPERATOR_ROLE)
REPLICATION_ROLE = "wepeople_replication"
"""Copies the whole server for a standby, and reads no table. It is there where it was given a password."""

ANALYST_CONNECTIONS = 40
"""Of the server's 100 or more: however many projections run, the services find theirs."""
OWN_NAMES = "pg_catalog, pg_temp"
"""Where every role looks for names without a schema, also in somebody's psql: by Postgres' default it would be the
schema named like the role, and whoever may create schemas may create that one. What is not Postgres' own is named with
its schema.
"""

_ROLES = """
SELECT rolname, rolcanlogin, rolpassword, rolconnlimit,
       array_remove(ARRAY[CASE WHEN rolsuper THEN 'SUPERUSER' END, CASE WHEN rolbypassrls THEN 'BYPASSRLS' END,
                          CASE WHEN rolcreaterole THEN 'CREATEROLE' END, CASE WHEN rolcreatedb THEN 'CREATEDB' END,
                          CASE WHEN rolreplication THEN 'REPLICATION' END], NULL),
       coalesce((SELECT setconfig FROM pg_db_role_setting WHERE setrole = a.oid AND setdatabase = 0), '{}')
FROM pg_authid a
WHERE rolname = ANY (%s)
"""

_LIMITED = Change("role", ANALYST_ROLE, "set", f"connection limit {ANALYST_CONNECTIONS}")
_COPIES = "REPLICATION"
_MAY_COPY = (REPLICATION_ROLE, _COPIES)
_WITHOUT = {
    "NOSUPERUSER": sql.SQL("NOSUPERUSER"),
    "NOBYPASSRLS": sql.SQL("NOBYPASSRLS"),
    "NOCREATEROLE": sql.SQL("NOCREATEROLE"),
    "NOCREATEDB": sql.SQL("NOCREATEDB"),
    "NOREPLICATION": sql.SQL("NOREPLICATION"),
}


@dataclass(frozen=True, slots=True)
class ExistingRole:
    """A role as the server has it; `verifier` stands for its password. `powers` reach beyond row security, `settings`
    (`name=value`) are those that its sessions begin with.
    """

    can_login: bool = True
    verifier: str | None = None
    connection_limit: int = -1
    powers: Sequence[str] = ()
    settings: Sequence[str] = ()


async def plan_roles(connection: AsyncConnection, passwords: Mapping[str, str]) -> list[Change]:
    """What `provision_roles` would change; nothing is. `ProvisionError` when a login role has no password."""
    found = await connection.execute(_ROLES, [[*LOGIN_ROLES, READER_ROLE, REPLICATION_ROLE]])
    return role_changes({role: ExistingRole(*values) for role, *values in await found.fetchall()}, passwords)


def role_changes(existing: Mapping[str, ExistingRole], passwords: Mapping[str, str]) -> list[Change]:
    """Decide from the roles that the server has; `ProvisionError` when a login role has no password."""
    if missing := [role for role in LOGIN_ROLES if not passwords.get(role)]:
        raise ProvisionError(f"There is no password for {', '.join(missing)}. Add it to the role passwords file.")
    changes = []
    for role in _given(passwords):
        found = existing.get(role)
        if found is None:
            changes.append(Change("role", role, "create"))
            continue
        if not (found.can_login and is_verifier_of(found.verifier, passwords[role])):
            changes.append(Change("role", role, "set", "password"))
        if f"search_path={OWN_NAMES}" not in found.settings:
            changes.append(Change("role", role, "set", f"search_path {OWN_NAMES}"))
    if existing.get(ANALYST_ROLE, ExistingRole()).connection_limit != ANALYST_CONNECTIONS:
        changes.append(_LIMITED)
    if READER_ROLE not in existing:
        changes.append(Change("role", READER_ROLE, "create"))
    if REPLICATION_ROLE in passwords and _COPIES not in existing.get(REPLICATION_ROLE, ExistingRole()).powers:
        changes.append(Change("role", REPLICATION_ROLE, "set", _COPIES))
    beyond = {role: [power for power in found.powers if (role, power) != _MAY_COPY] for role, found in existing.items()}
    too_much = {role: powers for role, powers in beyond.items() if powers}
    return changes + [
        Change("role", role, "set", " ".join(f"NO{power}" for power in powers)) for role, powers in too_much.items()
    ]


async def provision_roles(connection: AsyncConnection, passwords: Mapping[str, str]) -> list[str]:
    """Make the roles that are missing and set the passwords that are others now; what was done, in words.

    `ProvisionError` when a login role has no password.
    """
    changes = await plan_roles(connection, passwords)
    for role in dict.fromkeys(change.name for change in changes if change.name in passwords):
        await ensure_login_role(connection, role, passwords[role])
        await look_for_own_names_only(connection, role)
    if any((change.name, change.what) == _MAY_COPY for change in changes):
        await connection.execute(sql.SQL("ALTER ROLE {} REPLICATION").format(sql.Identifier(REPLICATION_ROLE)))
    for change in changes:
        if without := [_WITHOUT[word] for word in change.what.split() if word in _WITHOUT]:
            taken = sql.SQL(" ").join(without)
            await connection.execute(sql.SQL("ALTER ROLE {} {}").format(sql.Identifier(change.name), taken))
    if _LIMITED in changes:
        limit = sql.SQL("ALTER ROLE {} CONNECTION LIMIT {}")
        await connection.execute(limit.format(sql.Identifier(ANALYST_ROLE), sql.Literal(ANALYST_CONNECTIONS)))
    if any((change.name, change.verb) == (READER_ROLE, "create") for change in changes):
        await connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(READER_ROLE)))
    return [f"role {c.name}: {'created' if c.verb == 'create' else f'{c.what} set'}" for c in changes] or [
        "roles: as they should be"
    ]


async def ensure_login_role(connection: AsyncConnection, role: str, password: str) -> bool:
    """Make a role that may log in, or give it this password; whether it was new.

    The password goes to the server as a SCRAM verifier, so that no statement log can show it.
    """
    verifier = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
    exists = await _role_exists(connection, role)
    statement = "ALTER ROLE {} LOGIN PASSWORD {}" if exists else "CREATE ROLE {} LOGIN PASSWORD {}"
    await connection.execute(sql.SQL(statement).format(sql.Identifier(role), sql.Literal(verifier)))
    return not exists


async def look_for_own_names_only(connection: AsyncConnection, role: str) -> None:
    """Let the sessions of a role begin with `OWN_NAMES`."""
    statement = sql.SQL("ALTER ROLE {} SET search_path = {}").format(sql.Identifier(role), sql.SQL(OWN_NAMES))
    await connection.execute(statement)


def _given(passwords: Mapping[str, str]) -> list[str]:
    """The login roles, and that of replication where it is wanted."""
    return [*LOGIN_ROLES, *([REPLICATION_ROLE] if REPLICATION_ROLE in passwords else [])]


async def _role_exists(connection: AsyncConnection, role: str) -> bool:
    found = await connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [role])
    return await found.fetchone() is not None
