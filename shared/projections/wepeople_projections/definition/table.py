"""Tables: a row is a small class, and `@table` says what its key is and how it is kept."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, TypeVar

from msgspec import Struct

from wepeople_projections.definition.columns import KEYS, NUMBERS, TIMES, Column, Kind, Merge, columns_of, is_name
from wepeople_projections.errors import DefinitionError

RESERVED = (
    "about",
    "checkpoint",
    "commits",
    "identifiers",
    "kept",
    "named_events",
    "orgs",
    "parked",
    "parked_messages",
    "verified",
)
"""Tables that every projection has beside its own."""
MOST_DAYS = 36_500
_MOST_COLUMNS, _MOST_IN_INDEX = 1_600, 32
"""What Postgres takes."""


class Row(Struct, frozen=True, gc=False):
    """A row of a table. It is an org's: `org_id` comes first, and nobody but the org's readers sees it."""

    __table__: ClassVar["TableSpec"]

    org_id: str


R = TypeVar("R", bound=Row)


@dataclass(frozen=True, eq=False)
class TableSpec:
    """What `@table` makes of a class. `key` are all columns of the primary key, the org's id included unless the key is
    unique in all orgs; `indexes` are further ones, a leading - in a column meaning descending. A table kept `by_month`
    of a column is one piece for each month, the oldest of which go after `keep_days`.
    """

    row: type[Row]
    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    indexes: tuple[tuple[str, ...], ...]
    newest_by: tuple[str, ...]
    expires_by: str | None
    in_key_order: bool
    description: str
    by_month: str | None = None
    keep_days: int | None = None

    @property
    def key_of_org(self) -> bool:
        """Whether the org is in the key, as all but `insert` need: no row of one org can touch another's."""
        return "org_id" in self.key

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names."""
        return tuple(column.name for column in self.columns)

    @cached_property
    def values(self) -> tuple[Column, ...]:
        """The columns that are not in the key."""
        return tuple(column for column in self.columns if column.name not in self.key)

    @cached_property
    def can_add(self) -> bool:
        """Whether all that is not key is a number, so that `add` can sum it."""
        numbers = all(column.kind in NUMBERS and not column.optional for column in self.values)
        return self.key_of_org and numbers and not self.newest_by


def table(
    *,
    key: Sequence[str],
    name: str | None = None,
    indexes: Sequence[Sequence[str]] = (),
    newest_by: Sequence[str] = (),
    expires_by: str | None = None,
    key_is_global: bool = False,
    in_key_order: bool = False,
    by_month: str | None = None,
    keep_days: int | None = None,
) -> Callable[[type[R]], type[R]]:
    """Make a row's class a table.

    `key`: what an org has only one row of; with `key_is_global` what there is only one of in all orgs, such as an
    event's id: such rows are only inserted. `newest_by`: `upsert` replaces the whole row if these columns of the new
    one are greater, and else leaves it. `expires_by`: a column of instants; a row goes once a later message of its org
    was stored at that time or after it. `in_key_order`: rows mostly come in the order of the key, so they are not
    sorted before they are written. `by_month`: a column of the key, by whose months (UTC) the table is kept in pieces,
    so that whole months go at once; `keep_days`: a month goes when all of it is older than that.
    The name is the class's in snake case unless another is given. `DefinitionError` says what cannot be.
    """

    def make(row: type[R]) -> type[R]:
        if not (isinstance(row, type) and issubclass(row, Row)):
            raise DefinitionError(getattr(row, "__name__", repr(row)), "a row's class inherits from Row")
        for argument, names in (("key", key), ("newest_by", newest_by), *(("indexes", index) for index in indexes)):
            _check_names(row.__name__, argument, names)
        spec = TableSpec(
            row=row,
            name=name or _snake(row.__name__),
            columns=columns_of(row),
            key=tuple(key) if key_is_global else ("org_id", *(part for part in key if part != "org_id")),
            indexes=tuple(tuple(index) for index in indexes),
            newest_by=tuple(newest_by),
            expires_by=expires_by,
            in_key_order=in_key_order,
            description=" ".join((row.__doc__ or "").split()),
            by_month=by_month,
            keep_days=keep_days,
        )
        if key_is_global and (not key or spec.key_of_org):
            raise DefinitionError(row.__name__, "a key that is global has columns, but not org_id")
        _check(spec)
        row.__table__ = spec
        return row

    return make


def spec_of(row: type[Row]) -> TableSpec:
    """The table of a row's class; `DefinitionError` when it has none."""
    spec: Any = row.__dict__.get("__table__")
    if spec is None:
        raise DefinitionError(row.__name__, "it has no table: put @table(key=(...)) before the class")
    found: TableSpec = spec
    return found


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _check_names(row: str, argument: str, names: Sequence[str]) -> None:
    if isinstance(names, str):
        raise DefinitionError(row, f'{argument} takes several columns, so write ("{names}",) for one')
    columns = [name.removeprefix("-") for name in names]
    if len(set(columns)) < len(columns):
        raise DefinitionError(row, f"{argument} has a column twice")


def _check(spec: TableSpec) -> None:
    row, columns = spec.row.__name__, {column.name: column for column in spec.columns}
    if not is_name(spec.name) or spec.name in RESERVED:
        raise DefinitionError(row, f"a table cannot be called {spec.name!r}")
    if spec.columns[0] != Column("org_id", Kind.TEXT, optional=False, merge=Merge.REPLACE, description=""):
        raise DefinitionError(row, "org_id is Row's: leave it out of the class")
    indexed = [part.removeprefix("-") for index in spec.indexes for part in index]
    if len(spec.columns) > _MOST_COLUMNS:
        raise DefinitionError(row, f"it has {len(spec.columns):,} columns, and a table at most {_MOST_COLUMNS:,}")
    if any(len(names) > _MOST_IN_INDEX for names in (spec.key, *spec.indexes)):
        raise DefinitionError(row, f"a key or an index has at most {_MOST_IN_INDEX} columns, org_id among them")
    asked = {*spec.key, *indexed, *spec.newest_by, *filter(None, (spec.expires_by, spec.by_month))}
    if unknown := sorted(asked - columns.keys()):
        raise DefinitionError(row, f"it has no column {', '.join(unknown)}")
    for part in indexed:
        if columns[part].kind is Kind.JSON:
            raise DefinitionError(f"{row}.{part}", "Json has no order, so no index can have it")
    for part in spec.key:
        column = columns[part]
        if column.kind not in KEYS or column.optional or column.merge is not Merge.REPLACE:
            raise DefinitionError(
                f"{row}.{part}", "in a key there are plain str, int, bool, dates and instants, never None"
            )
    _check_months(spec, row, columns)
    _check_newest(spec, row, columns)
    _check_expiry(spec, row, columns)


def _check_months(spec: TableSpec, row: str, columns: Mapping[str, Column]) -> None:
    if spec.keep_days is not None and spec.by_month is None:
        raise DefinitionError(
            row, 'keep_days lets whole months go: say by which column, such as by_month="occurred_at"'
        )
    if spec.by_month is None:
        return
    column = columns[spec.by_month]
    if column.kind not in TIMES:
        raise DefinitionError(f"{row}.{column.name}", "the months of a table are those of an Instant, datetime or date")
    # Postgres knows a key to be unique in one piece only, so the same key is always in the same one.
    if column.name not in spec.key:
        raise DefinitionError(f"{row}.{column.name}", "the column by whose months a table is kept is one of its key")
    days = spec.keep_days
    if days is not None and (isinstance(days, bool) or not isinstance(days, int) or not 1 <= days <= MOST_DAYS):
        raise DefinitionError(row, f"keep_days is a number of days from 1 to {MOST_DAYS:,}")


def _check_newest(spec: TableSpec, row: str, columns: Mapping[str, Column]) -> None:
    for part in spec.newest_by:
        if columns[part].kind not in KEYS or columns[part].optional:
            raise DefinitionError(f"{row}.{part}", "what decides which row is newer is a plain value, never None")
    if spec.newest_by and any(column.merge is not Merge.REPLACE for column in spec.columns):
        raise DefinitionError(row, "newest_by replaces the whole row, so its columns cannot merge in other ways")
    if spec.newest_by and not spec.key_of_org:
        raise DefinitionError(row, "newest_by is for upsert, which a key that is global does not take")


def _check_expiry(spec: TableSpec, row: str, columns: Mapping[str, Column]) -> None:
    if spec.expires_by is None:
        return
    column = columns[spec.expires_by]
    if column.kind is not Kind.INSTANT:
        raise DefinitionError(f"{row}.{column.name}", "the column that a row expires by is an Instant")
    # Whether a row is still there, and when a merged one expires, must be known without the row in the table.
    if not spec.key_of_org:
        raise DefinitionError(row, "a row that expires has no global key: one org's time is not another's")
    if column.merge is not Merge.REPLACE or spec.newest_by:
        raise DefinitionError(f"{row}.{column.name}", "upsert must replace the column that a row expires by")
