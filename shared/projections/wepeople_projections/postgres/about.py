"""What a projection's schema says of itself: what it was made from, and whether it runs and serves."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib.metadata import entry_points
from typing import Any, Literal

import msgspec
from msgspec import Struct
from psycopg import AsyncConnection

from wepeople_projections.definition.selection import Selection
from wepeople_projections.errors import ProjectionError
from wepeople_projections.postgres.quoting import quoted
from wepeople_projections.postgres.trying import try_views

OnPoison = Literal["park", "stop"]

_COLUMNS = (
    "name, version, source, code_sha256, tables_sha256, selection, views, on_poison, ordered, paused, serving_since, "
    "created_at"
)
_WRITTEN = _COLUMNS.removesuffix(", serving_since, created_at")
_TYPES = (
    "text, integer, text, text, text, json, json, text, boolean, boolean, timestamp with time zone, "
    "timestamp with time zone"
)
_BUILT_IN = "wepeople.projections"
_SCHEMAS = """
SELECT n.nspname
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relname = 'about' AND c.relkind = 'r'
  AND n.nspname ~ '^[a-z][a-z0-9_]*_v[1-9][0-9]{0,4}(_check|_rebuild|_old)?$'
  AND n.nspowner = c.relowner AND pg_get_userbyid(n.nspowner) = ANY (
      CASE WHEN substring(n.nspname FROM '^(.+)_v[0-9]+(?:_[a-z]+)?$') = ANY (%(built_in)s)
           THEN ARRAY['wepeople_projector'] ELSE ARRAY['wepeople_analyst', current_user] END)
  AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
  AND %(columns)s::text[] <@ ARRAY(
      SELECT a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
      FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)
ORDER BY n.nspname
"""


class About(Struct, frozen=True, kw_only=True):
    """The one row of the table `about`. `source` is where the code was, `code_sha256` what it was; `tables_sha256` is
    the shape of the tables. `views` are the SELECTs that readers see, with `{schema}` in the place of this one;
    `serving_since` is None while they do not see this version.
    """

    name: str
    version: int
    source: str
    code_sha256: str
    tables_sha256: str
    selection: Selection = Selection()
    views: Mapping[str, str] = {}
    on_poison: OnPoison = "park"
    ordered: bool = False
    paused: bool = False
    serving_since: datetime | None = None
    created_at: datetime | None = None


async def schemas(connection: AsyncConnection[Any]) -> Sequence[str]:
    """The schemas of all projections that the connection's role may read, scratch ones of verify and rebuild too.

    Only those of the roles that may have them: the projector's are the built-in ones, whose names nobody else takes,
    and the analyst's or the caller's own are the others. Whatever else is called so is passed over.
    """
    columns = [f"{name} {kind}" for name, kind in zip(_COLUMNS.split(", "), _TYPES.split(", "), strict=True)]
    built_in = [entry.name for entry in entry_points(group=_BUILT_IN)]
    cursor = await connection.execute(_SCHEMAS, {"columns": columns, "built_in": built_in})
    return [schema for (schema,) in await cursor.fetchall()]


async def schema_exists(connection: AsyncConnection[Any], schema: str) -> bool:
    """Whether there is a schema of that name, whosever it is."""
    cursor = await connection.execute("SELECT to_regnamespace(quote_ident(%s)) IS NOT NULL", [schema])
    row = await cursor.fetchone()
    return row is not None and bool(row[0])


async def read_about(connection: AsyncConnection[Any], schema: str) -> About:
    """What a schema says of itself; `ProjectionError` when there is none that the role may see."""
    if schema not in await schemas(connection):
        raise ProjectionError(f"There is no {schema}; `wepeople projection list` shows what there is")
    cursor = await connection.execute(f"SELECT {_COLUMNS} FROM {quoted(schema)}.about")  # noqa: S608 - it is listed
    row = await cursor.fetchone()
    if row is None:
        raise ProjectionError(f"{schema} does not say what it is: its table about has been emptied")
    return msgspec.convert(dict(zip(_COLUMNS.split(", "), row, strict=True)), About)


async def write_about(connection: AsyncConnection[Any], schema: str, about: About) -> None:
    """The first row of a new schema."""
    values = [
        about.name,
        about.version,
        about.source,
        about.code_sha256,
        about.tables_sha256,
        msgspec.json.encode(about.selection).decode(),
        msgspec.json.encode(about.views).decode(),
        about.on_poison,
        about.ordered,
        about.paused,
    ]
    await connection.execute(
        f"INSERT INTO {quoted(schema)}.about ({_WRITTEN}) VALUES (%s, %s, %s, %s, %s, %s::json, %s::json, %s, %s, %s)",  # noqa: S608
        values,
    )


async def set_paused(connection: AsyncConnection[Any], schema: str, paused: bool) -> None:
    """Let those who run it pause, or go on, within a second."""
    await connection.execute(f"UPDATE {quoted(schema)}.about SET paused = %s", [paused])  # noqa: S608


async def set_code(
    connection: AsyncConnection[Any], schema: str, *, source: str, code_sha256: str, views: Mapping[str, str]
) -> None:
    """The code that runs it from now on, which has the same tables; its views are seen from the next promotion on.
    `DefinitionError` when one of them cannot be made: that is not left for a promotion to find.
    """
    await try_views(connection, schema, views)
    await connection.execute(
        f"UPDATE {quoted(schema)}.about SET source = %s, code_sha256 = %s, views = %s::json",  # noqa: S608
        [source, code_sha256, msgspec.json.encode(views).decode()],
    )


async def set_on_poison(connection: AsyncConnection[Any], schema: str, on_poison: OnPoison) -> None:
    """What a row that cannot be applied does from the next start on."""
    await connection.execute(f"UPDATE {quoted(schema)}.about SET on_poison = %s", [on_poison])  # noqa: S608
