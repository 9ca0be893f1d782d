"""Makes and drops the schema of one version of a projection, with its tables, indexes, and who may see what."""

import hashlib
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any

import msgspec
from psycopg import AsyncConnection, errors

from wepeople_projections.definition.columns import Column
from wepeople_projections.definition.naming import split_version
from wepeople_projections.definition.projection import Definition
from wepeople_projections.definition.table import TableSpec
from wepeople_projections.errors import ProjectionError
from wepeople_projections.postgres.about import About, write_about
from wepeople_projections.postgres.quoting import quoted
from wepeople_projections.postgres.row_security import secure_rows
from wepeople_projections.postgres.trying import try_views

_RUNTIME = files(__package__).joinpath("runtime.sql").read_text()
_DEPENDENTS = """
SELECT DISTINCT vn.nspname || '.' || v.relname
FROM pg_depend d
JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
JOIN pg_class v ON v.oid = r.ev_class
JOIN pg_namespace vn ON vn.oid = v.relnamespace
JOIN pg_class t ON d.refclassid = 'pg_class'::regclass AND t.oid = d.refobjid
JOIN pg_namespace tn ON tn.oid = t.relnamespace
WHERE tn.nspname = %s AND vn.nspname <> %s
ORDER BY 1
"""


def tables_sha256(definition: Definition) -> str:
    """What the tables are: the same as long as a schema that was made for them fits."""
    shapes = [
        (
            spec.name,
            [(column.name, column.kind.name, column.optional, column.merge.name) for column in spec.columns],
            spec.key,
            spec.indexes,
            spec.newest_by,
            spec.expires_by,
            *((spec.by_month,) if spec.by_month is not None else ()),
        )
        for spec in definition.tables
    ]
    return hashlib.sha256(msgspec.json.encode(shapes)).hexdigest()


async def create_schema(connection: AsyncConnection[Any], definition: Definition, schema: str, about: About) -> None:
    """Make the schema with all that is in it, or nothing of it; `ProjectionError` when the name is taken, and
    `DefinitionError` when a view cannot be made over its tables.
    """
    try:
        async with connection.transaction():
            await connection.execute("\n".join(_statements(definition, schema)))
            await secure_rows(connection, schema)
            await try_views(connection, schema, definition.views)
            await write_about(connection, schema, msgspec.structs.replace(about, views=views_of(definition)))
    except (errors.DuplicateSchema, errors.UniqueViolation) as error:
        raise ProjectionError(f"The schema {schema} is there already") from error
    except errors.InsufficientPrivilege as error:
        raise ProjectionError(f"This database role cannot make {schema}: {error}") from error


def views_of(definition: Definition) -> Mapping[str, str]:
    """What readers see: each table, and what the projection offers beside them or in their place."""
    tables = {spec.name: f"SELECT * FROM {{schema}}.{quoted(spec.name)}" for spec in definition.tables}  # noqa: S608
    return tables | dict(definition.views)


async def drop_schema(connection: AsyncConnection[Any], schema: str) -> None:
    """Drop the schema and all in it; `ProjectionError` when views elsewhere show its tables."""
    async with connection.transaction():
        cursor = await connection.execute(_DEPENDENTS, [schema, schema])
        if views := [view for (view,) in await cursor.fetchall()]:
            name, _ = split_version(schema)
            raise ProjectionError(
                f"{schema} serves {', '.join(views)}: promote another version of {name} before you drop it"
            )
        await connection.execute(f"DROP SCHEMA IF EXISTS {quoted(schema)} CASCADE")


def _statements(definition: Definition, schema: str) -> Iterator[str]:
    yield f"CREATE SCHEMA {quoted(schema)};"
    yield _RUNTIME.replace("{schema}", quoted(schema))
    for spec in definition.tables:
        yield from _table(schema, spec)
        yield f"GRANT SELECT ON {quoted(schema)}.{quoted(spec.name)} TO wepeople_operator, wepeople_reader;"


def _table(schema: str, spec: TableSpec) -> Iterator[str]:
    table = f"{quoted(schema)}.{quoted(spec.name)}"
    columns = ", ".join(map(_column, spec.columns))
    by_month = "" if spec.by_month is None else f" PARTITION BY RANGE ({quoted(spec.by_month)})"
    yield f"CREATE TABLE {table} ({columns}, PRIMARY KEY ({', '.join(map(quoted, spec.key))})){by_month};"
    indexes = list(spec.indexes)
    if spec.expires_by is not None and not any(index[:2] == ("org_id", spec.expires_by) for index in indexes):
        indexes.append(("org_id", spec.expires_by))
    yield from _comments(table, spec)
    for index in indexes:
        parts = (quoted(part.removeprefix("-")) + " DESC" * part.startswith("-") for part in index)
        yield f"CREATE INDEX ON {table} ({', '.join(parts)});"


def _comments(table: str, spec: TableSpec) -> Iterator[str]:
    if spec.description:
        yield f"COMMENT ON TABLE {table} IS {_literal(spec.description)};"
    for column in spec.columns:
        if column.description:
            yield f"COMMENT ON COLUMN {table}.{quoted(column.name)} IS {_literal(column.description)};"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _column(column: Column) -> str:
    return f"{quoted(column.name)} {column.kind.value}{'' if column.optional else ' NOT NULL'}"
