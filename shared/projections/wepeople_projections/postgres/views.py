"""The schema that readers read: a view for each table of the version that serves, and whatever else the projection
offers. All that it takes is in the version's own schema, so that an older one can come back without its code.
"""

from collections.abc import Collection
from typing import Any

from psycopg import AsyncConnection, errors, sql

from wepeople_projections.definition.naming import split_version
from wepeople_projections.errors import ProjectionError
from wepeople_projections.postgres.about import read_about, schemas
from wepeople_projections.postgres.quoting import quoted
from wepeople_projections.postgres.served import own_views, remember_own, taken_names

LOCK_ATTEMPTS = 10

_TABLE_COMMENTS = """
SELECT a.attname, d.description
FROM pg_class t
JOIN pg_namespace n ON n.oid = t.relnamespace
JOIN pg_description d ON d.objoid = t.oid AND d.classoid = 'pg_class'::regclass
LEFT JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.objsubid AND d.objsubid > 0
WHERE n.nspname = %s AND t.relname = %s
"""


async def serving_version(connection: AsyncConnection[Any], name: str) -> int | None:
    """The version of a projection that readers see; None while they see none."""
    for schema in await schemas(connection):
        base, version = split_version(schema)
        if base == name and version is not None and (await read_about(connection, schema)).serving_since is not None:
            return version
    return None


async def serve(connection: AsyncConnection[Any], name: str, schema: str) -> None:
    """Let readers see this version of a projection, and no other, once the caller's transaction is committed."""
    for other in await schemas(connection):
        if split_version(other)[0] == name and split_version(other)[1] is not None:
            serving = "coalesce(serving_since, now())" if other == schema else "NULL"
            await connection.execute(f"UPDATE {quoted(other)}.about SET serving_since = {serving}")  # noqa: S608
    await point_views(connection, name, schema)


async def point_views(connection: AsyncConnection[Any], name: str, schema: str) -> None:
    """Let the views of a projection show the tables in `schema`, once the caller's transaction is committed.

    What somebody else has made in the readers' schema stays. `ProjectionError` when it has the name of a view that is
    to be made, or stands on one that cannot be kept; `errors.LockNotAvailable`, if there is a `lock_timeout`, when
    readers hold the views.
    """
    views = (await read_about(connection, schema)).views
    await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(name)}")
    await connection.execute(f"GRANT USAGE ON SCHEMA {quoted(name)} TO wepeople_operator, wepeople_reader")
    if taken := await taken_names(connection, name, views):
        raise ProjectionError(
            f"{name}.{taken[0]} was made by somebody else, and {schema} has a view of that name. Rename it, or drop "
            "it, and run this again"
        )
    there = await own_views(connection, name)
    await _lock(connection, name, there)
    for gone in there - views.keys():
        await _drop(connection, name, gone)
    for view, select in views.items():
        await _point(connection, name, view, select.replace("{schema}", quoted(schema)))
        await _comment(connection, name, view, schema)
    await remember_own(connection, name, views)


async def drop_views(connection: AsyncConnection[Any], name: str) -> None:
    """Take a projection away from its readers: its views, and their schema unless something else is in it, or it is
    somebody else's. `ProjectionError` when views of somebody else stand on one.
    """
    for view in await own_views(connection, name):
        await _drop(connection, name, view)
    try:
        async with connection.transaction():
            await connection.execute(f"DROP SCHEMA IF EXISTS {quoted(name)}")
    except (errors.DependentObjectsStillExist, errors.InsufficientPrivilege):
        await remember_own(connection, name, ())


async def _lock(connection: AsyncConnection[Any], name: str, views: Collection[str]) -> None:
    """Keep readers off the views for the rest of the transaction, none of them by a deadlock.

    A reader may have locked one view and want another that is locked here. Then all are let go, and the one that the
    reader had is taken first. `errors.LockNotAvailable` when that does not help.
    """
    order = list(views)
    for attempt in range(LOCK_ATTEMPTS):
        try:
            async with connection.transaction():
                for view in order:
                    wanted = view
                    # Unlike LOCK it does not reach for the tables below.
                    await connection.execute(f"ALTER VIEW {_target(name, view)} SET (security_invoker = true)")
                return
        except (errors.LockNotAvailable, errors.DeadlockDetected):
            if attempt == LOCK_ATTEMPTS - 1:
                raise
            order.remove(wanted)
            order.insert(0, wanted)


async def _point(connection: AsyncConnection[Any], name: str, view: str, select: str) -> None:
    """Replace a view, so that what stands on it stays; anew only where its columns are others."""
    target = _target(name, view)
    create = f"VIEW {target} WITH (security_invoker = true) AS {select}"
    try:
        async with connection.transaction():
            await connection.execute(f"CREATE OR REPLACE {create}".encode())
    except errors.InvalidTableDefinition:
        await _drop(connection, name, view)
        await connection.execute(f"CREATE {create}".encode())
    await connection.execute(f"GRANT SELECT ON {target} TO wepeople_operator, wepeople_reader")


async def _drop(connection: AsyncConnection[Any], name: str, view: str) -> None:
    try:
        await connection.execute(f"DROP VIEW {_target(name, view)}")
    except errors.DependentObjectsStillExist as error:
        detail = (error.diag.message_detail or str(error)).strip()
        raise ProjectionError(f"{name}.{view} cannot be replaced, because something stands on it: {detail}") from error


async def _comment(connection: AsyncConnection[Any], name: str, view: str, schema: str) -> None:
    """What is said of a table is said of its view, and of the view's columns of the same names."""
    target = sql.Identifier(name, view)
    columns = await _columns(connection, name, view)
    cursor = await connection.execute(_TABLE_COMMENTS, [schema, view])
    for column, description in await cursor.fetchall():
        if column is None:
            comment = sql.SQL("COMMENT ON VIEW {} IS {}").format(target, sql.Literal(description))
        elif column in columns:
            whose = sql.Identifier(name, view, column)
            comment = sql.SQL("COMMENT ON COLUMN {} IS {}").format(whose, sql.Literal(description))
        else:
            continue
        await connection.execute(comment)


async def _columns(connection: AsyncConnection[Any], name: str, view: str) -> set[str]:
    cursor = await connection.execute(
        "SELECT column_name FROM information_schema.columns WHERE table_schema = %s AND table_name = %s", [name, view]
    )
    return {column for (column,) in await cursor.fetchall()}


def _target(name: str, view: str) -> str:
    return f"{quoted(name)}.{quoted(view)}"
