"""The statements that write one table, made from its columns and their rules, once per schema and table."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from wepeople_projections.definition.columns import Column, Kind, Merge
from wepeople_projections.definition.table import TableSpec
from wepeople_projections.postgres.quoting import quoted
from wepeople_projections.postgres.records import selected, taken_apart
from wepeople_projections.postgres.row_security import door_of

# What is equal there may still differ in how it shows (1.0 and 1.00), and then it is another value.
_COMPARED_AS_TEXT = (Kind.DECIMAL, Kind.FLOAT, Kind.JSON, Kind.JSONB)
_UNITED = """{there} || ARRAY(SELECT m.value FROM unnest({new}) WITH ORDINALITY AS m(value, n)
WHERE m.value <> ALL ({there}) GROUP BY m.value ORDER BY min(m.n))"""
EXPIRES_UNTIL = Column("Until", Kind.INSTANT, True, Merge.REPLACE, "")
"""Up to which instant rows expire; no column of a table begins with a capital."""


class Statements(NamedTuple):
    """Of one table. `find` and `delete` take keys, `upsert` and `add` rows, `expire` orgs with instants, `expire_but`
    those and keys with an instant of their own; all as JSON.
    """

    upsert: str
    add: str
    find: str
    delete: str
    expire: str
    expire_but: str


def copy_statement(schema: str, spec: TableSpec, columns: Sequence[str]) -> str:
    """COPY into these columns, through the table's door."""
    door = f"{quoted(schema)}.{quoted(door_of(spec.name))}"
    return f"COPY {door} ({', '.join(map(quoted, columns))}) FROM STDIN (FORMAT binary)"


@lru_cache(maxsize=512)
def statements(schema: str, spec: TableSpec) -> Statements:
    """The statements of a table in a schema."""
    table = f"{quoted(schema)}.{quoted(spec.name)}"
    keys = taken_apart(key_columns(spec))
    by_key = " AND ".join(f"t.{quoted(name)} = k.{quoted(name)}" for name in spec.key)
    until = taken_apart((EXPIRES_UNTIL,))
    at = f"t.{quoted(spec.expires_by or 'expires_by')}"
    expire = (
        f'DELETE FROM {table} t USING json_to_recordset(%s::json) AS e("org_id" text, {until}) '  # noqa: S608
        f'WHERE t."org_id" = e."org_id" AND {at} <= e."Until"'
    )
    return Statements(
        upsert=_insert(table, spec, _merge_clause(spec)),
        add=_insert(table, spec, _add_clause(spec)),
        find=f"SELECT 1 FROM {table} t JOIN json_to_recordset(%s::json) AS k({keys}) ON {by_key} LIMIT 1",  # noqa: S608
        delete=f"DELETE FROM {table} t USING json_to_recordset(%s::json) AS k({keys}) WHERE {by_key}",  # noqa: S608
        expire=expire,
        expire_but=f"{expire} AND NOT EXISTS (SELECT FROM json_to_recordset(%s::json) AS k({keys}, {until}) "
        f'WHERE {by_key} AND (k."Until" IS NULL OR {at} > k."Until"))',
    )


@lru_cache(maxsize=512)
def key_columns(spec: TableSpec) -> tuple[Column, ...]:
    """The columns of a key, in its order."""
    columns = {column.name: column for column in spec.columns}
    return tuple(columns[name] for name in spec.key)


def _insert(table: str, spec: TableSpec, on_conflict: str) -> str:
    return (
        f"INSERT INTO {table} AS there ({', '.join(map(quoted, spec.names))}) "  # noqa: S608
        f"SELECT {', '.join(map(selected, spec.columns))} "
        f"FROM json_to_recordset(%s::json) AS r({taken_apart(spec.columns)}) "
        f"ON CONFLICT ({', '.join(map(quoted, spec.key))}) {on_conflict}"
    )


def _merge_clause(spec: TableSpec) -> str:
    changing = [column for column in spec.values if column.merge is not Merge.FIRST]
    if not changing:
        return "DO NOTHING"
    update = "DO UPDATE SET " + ", ".join(f"{quoted(column.name)} = {_merged(column)}" for column in changing)
    if spec.newest_by:
        new, there = (", ".join(f"{row}.{quoted(name)}" for name in spec.newest_by) for row in ("excluded", "there"))
        return f"{update} WHERE ({new}) > ({there})"
    return f"{update} WHERE {' OR '.join(map(_changes, changing))}"


def _add_clause(spec: TableSpec) -> str:
    summed = ", ".join(f"{quoted(c.name)} = there.{quoted(c.name)} + excluded.{quoted(c.name)}" for c in spec.values)
    return f"DO UPDATE SET {summed}" if summed else "DO NOTHING"


def _merged(column: Column) -> str:
    name = quoted(column.name)
    there, new = f"there.{name}", f"excluded.{name}"
    match column.merge:
        case Merge.KNOWN:
            return f"coalesce({new}, {there})"
        case Merge.SUM:
            return f"{there} + {new}"
        case Merge.LEAST | Merge.GREATEST:
            return f"{column.merge.name}({there}, {new})"
        case Merge.UNITED:
            return _UNITED.format(there=there, new=new)
    return new


def _changes(column: Column) -> str:
    """Whether merging changes a column: where it does not, the row is left alone."""
    there, merged = f"there.{quoted(column.name)}", _merged(column)
    if column.merge is Merge.UNITED:
        return f"NOT {there} @> excluded.{quoted(column.name)}"
    if column.kind in _COMPARED_AS_TEXT:
        return f"({merged})::text IS DISTINCT FROM {there}::text"
    return f"{merged} IS DISTINCT FROM {there}"
