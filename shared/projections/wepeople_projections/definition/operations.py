"""What a handler may do to its tables. Handlers only say it; whoever runs them writes a whole batch of it at once."""

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from wepeople_projections.definition.table import Row, spec_of
from wepeople_projections.errors import OperationError


class Insert(Struct, frozen=True, gc=False):
    """A new row, whose key is not there yet: the fastest way. One that is there parks what brought it."""

    row: Row


class Upsert(Struct, frozen=True, gc=False):
    """A row that is new, or merged into the one with its key as its columns say."""

    row: Row


class Add(Struct, frozen=True, gc=False):
    """Numbers that are added to the row with this key; the row is made if it is not there."""

    row: Row


class Delete(Struct, frozen=True, gc=False):
    """The row with this key goes, if it is there. `key` has a value for each column of the table's key."""

    table: type[Row]
    key: tuple[Any, ...]


class Sql(Struct, frozen=True):
    """A statement of its own, run where it stands among the other operations, in the projection's schema.

    It must do the same however the stream is cut into batches, and touch the message's org only.
    """

    statement: str
    parameters: Mapping[str, Any]


Operation = Insert | Upsert | Add | Delete | Sql
Emitted = Operation | Iterable[Operation] | None
"""What a handler returns: one operation, several (a list or a generator), or none."""

insert = Insert


def upsert(row: Row) -> Upsert:
    """`Upsert`; `OperationError` when the org is not in the table's key, so that a row could reach another org's."""
    _needs_org(type(row))
    return Upsert(row)


def add(row: Row) -> Add:
    """`Add`; `OperationError` when the table has a column that is neither key nor a number, or keeps the newest."""
    kind = type(row)
    _needs_org(kind)
    if not spec_of(kind).can_add:
        why = "keeps the newest row" if spec_of(kind).newest_by else "has columns that are neither key nor numbers"
        raise OperationError(f"{kind.__name__} cannot be added: it {why}")
    return Add(row)


def delete(table: type[Row], *key: Any) -> Delete:
    """`Delete`, by the values of the key in its order, the org's id first; `OperationError` when they are too few or
    too many, or the org is not in the table's key.
    """
    _needs_org(table)
    names = spec_of(table).key
    if len(key) != len(names):
        raise OperationError(f"the key of {table.__name__} is ({', '.join(names)}), but {len(key)} values were given")
    return Delete(table, key)


def sql(statement: str, **parameters: Any) -> Sql:
    """`Sql`, with parameters written as `%(name)s`."""
    return Sql(statement, parameters)


def _needs_org(row: type[Row]) -> None:
    if not spec_of(row).key_of_org:
        raise OperationError(f"{row.__name__} has a key without the org: it takes insert only")
