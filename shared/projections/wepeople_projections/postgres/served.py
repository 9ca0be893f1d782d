"""Which views in the schema that readers read are the projection's own. Whatever else is in it is somebody else's, and
is neither replaced nor dropped.
"""

from collections.abc import Collection, Iterable
from contextlib import suppress
from typing import Any

from psycopg import AsyncConnection, errors, sql

from wepeople_projections.definition.naming import split_version
from wepeople_projections.postgres.about import read_about, schemas

_SAID = "Views that `wepeople projection` makes and drops: "
"""The schema's comment begins so; the names follow, with commas."""
_COMMENT = "SELECT obj_description(to_regnamespace(quote_ident(%s)), 'pg_namespace')"
_RELATIONS = """
SELECT c.relname, c.relkind = 'v'
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c')
"""


async def own_views(connection: AsyncConnection[Any], name: str) -> set[str]:
    """The views that are there and that a promotion has made; without its word, those that a version says it has."""
    views = {relation for relation, is_view in await _relations(connection, name) if is_view}
    cursor = await connection.execute(_COMMENT, [name])
    row = await cursor.fetchone()
    if row is not None and row[0] is not None and row[0].startswith(_SAID):
        return views & set(row[0].removeprefix(_SAID).split(", "))
    return views & {view for schema in await _versions(connection, name) for view in await _views(connection, schema)}


async def taken_names(connection: AsyncConnection[Any], name: str, wanted: Collection[str]) -> list[str]:
    """Those of the names under which there is something of somebody else."""
    there = {relation for relation, _ in await _relations(connection, name)}
    return sorted((there & set(wanted)) - await own_views(connection, name))


async def remember_own(connection: AsyncConnection[Any], name: str, views: Iterable[str]) -> None:
    """Say which views are the projection's own, where whoever looks at the schema reads it too; nothing where the
    schema is another role's.
    """
    comment = sql.SQL("COMMENT ON SCHEMA {} IS {}")
    said = sql.Literal(_SAID + ", ".join(sorted(views)))
    with suppress(errors.InsufficientPrivilege):
        async with connection.transaction():
            await connection.execute(comment.format(sql.Identifier(name), said))


async def _relations(connection: AsyncConnection[Any], name: str) -> list[tuple[str, bool]]:
    cursor = await connection.execute(_RELATIONS, [name])
    return await cursor.fetchall()


async def _versions(connection: AsyncConnection[Any], name: str) -> list[str]:
    return [schema for schema in await schemas(connection) if split_version(schema)[0] == name]


async def _views(connection: AsyncConnection[Any], schema: str) -> Collection[str]:
    return (await read_about(connection, schema)).views.keys()
