"""Who may do what in the database itself; what is in the schemas is said by their own files."""

from collections.abc import Mapping, Sequence

from psycopg import AsyncConnection, sql

from wepeople_provision.change import Change
from wepeople_provision.errors import ProvisionError
from wepeople_provision.roles import ANALYST_ROLE, OPERATOR_ROLE, READER_ROLE, SERVICE_ROLES

EVERYBODY = "PUBLIC"
LARGE_OBJECT_FUNCTIONS = ("lo_creat(integer)", "lo_create(oid)", "lo_from_bytea(oid, bytea)")
"""By these, everybody who can log in may write to the disk unless it is taken from PUBLIC."""
ADVISORY_LOCK_FUNCTIONS = tuple(
    f"pg_{attempt}advisory_{kind}{mode}({arguments})"
    for attempt in ("", "try_")
    for kind in ("lock", "xact_lock")
    for mode in ("", "_shared")
    for arguments in ("bigint", "integer, integer")
)
"""By these, everybody who can log in may stop provisioners and projectors; those who build need them."""

BUILDERS = (*SERVICE_ROLES, ANALYST_ROLE)
WANTED: Mapping[str, frozenset[str]] = dict.fromkeys(BUILDERS, frozenset({"CONNECT", "CREATE", "TEMPORARY"})) | (
    dict.fromkeys((OPERATOR_ROLE, READER_ROLE), frozenset({"CONNECT"}))
)

_ON_THE_DATABASE = """
SELECT coalesce(r.rolname, 'PUBLIC'), array_agg(a.privilege_type)
FROM pg_database d
CROSS JOIN aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
LEFT JOIN pg_roles r ON r.oid = a.grantee
WHERE d.datname = current_database()
GROUP BY 1
"""
_LEFT_TO_EVERYBODY = """
SELECT 'SCHEMA public' FROM pg_namespace n CROSS JOIN aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a
WHERE n.nspname = 'public' AND a.grantee = 0
UNION
SELECT 'FUNCTION ' || p.oid::regprocedure
FROM pg_proc p CROSS JOIN aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
WHERE p.oid = ANY (%s::regprocedure[]) AND a.grantee = 0
ORDER BY 1
"""


_TRAPS = """
SELECT n.nspname, o.rolname
FROM pg_namespace n JOIN pg_roles o ON o.oid = n.nspowner
WHERE NOT o.rolsuper
  AND (n.nspname = 'provision' OR n.nspname <> o.rolname AND n.nspname IN (SELECT rolname FROM pg_roles))
ORDER BY 1
"""
"""Schemas in which somebody may put what others then call: a session looks first into the one named like its role."""


async def refuse_traps(connection: AsyncConnection) -> None:
    """`ProvisionError` when somebody made a schema in which another role, or the provisioner, would look."""
    found = await connection.execute(_TRAPS)
    if traps := [f"{schema} (of {owner})" for schema, owner in await found.fetchall()]:
        raise ProvisionError(
            f"Schemas named like a role, or like the provisioner's own, but not theirs: {', '.join(traps)}. Who logs "
            "in as that role may run what their owner put there. Nothing was done. Ask the owner, then drop or rename "
            "them."
        )


async def plan_grants(connection: AsyncConnection) -> list[Change]:
    """What `grant_on_database` would change; nothing is."""
    found = await connection.execute(_ON_THE_DATABASE)
    existing = {role: frozenset(privileges) for role, privileges in await found.fetchall()}
    found = await connection.execute(_LEFT_TO_EVERYBODY, [[*LARGE_OBJECT_FUNCTIONS, *ADVISORY_LOCK_FUNCTIONS]])
    left = [what for (what,) in await found.fetchall()]
    return missing_grants(connection.info.dbname, existing, left)


def missing_grants(database: str, existing: Mapping[str, frozenset[str]], left: Sequence[str]) -> list[Change]:
    """Decide from each role's privileges on the database, and from what else everybody may use."""
    changes = [
        Change("database", database, "set", f"{', '.join(sorted(missing))} granted to {role}")
        for role, wanted in WANTED.items()
        if (missing := wanted - existing.get(role, frozenset()))
    ]
    if privileges := existing.get(EVERYBODY):
        changes.append(Change("database", database, "set", f"{', '.join(sorted(privileges))} taken from {EVERYBODY}"))
    return changes + [Change("database", database, "set", f"{what} taken from {EVERYBODY}") for what in left]


async def grant_on_database(connection: AsyncConnection) -> None:
    """Let the roles into the connection's database, services and analysts also create schemas, and PUBLIC nothing.

    Grants on a database belong to it alone: one made from a template has none of them.
    """
    database = sql.Identifier(connection.info.dbname)
    await connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database))
    await connection.execute(
        sql.SQL("GRANT CONNECT, CREATE, TEMPORARY ON DATABASE {} TO {}").format(database, _identifiers(BUILDERS))
    )
    await connection.execute(
        sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(database, _identifiers([OPERATOR_ROLE, READER_ROLE]))
    )
    await connection.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
    everything = sql.SQL(", ").join(map(sql.SQL, [*LARGE_OBJECT_FUNCTIONS, *ADVISORY_LOCK_FUNCTIONS]))
    locks = sql.SQL(", ").join(map(sql.SQL, ADVISORY_LOCK_FUNCTIONS))
    async with connection.transaction():
        await connection.execute(sql.SQL("GRANT EXECUTE ON FUNCTION {} TO {}").format(locks, _identifiers(BUILDERS)))
        await connection.execute(sql.SQL("REVOKE EXECUTE ON FUNCTION {} FROM PUBLIC").format(everything))


def _identifiers(names: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, names))
