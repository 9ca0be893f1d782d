"""Tables: a row is a small class, and `@table` says what its key is and how it is kept."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from msgspec import Struct

from wepeople_projections.columns import KEYS, NUMBERS, Column, Kind, Merge, columns_of, is_name
from wepeople_projections.errors import DefinitionError

RESERVED = ("about", "checkpoint", "commits", "orgs", "identifiers", "named_events", "parked", "verified")
"""Tables that every projection has beside its own."""


class Row(Struct, frozen=True, gc=False):
    """A row of a table. It is an org's: `org_id` comes first, and nobody but the org's readers sees it."""

    __table__: ClassVar["TableSpec"]

    org_id: str


R = TypeVar("R", bound=Row)


@dataclass(frozen=True, slots=True, eq=False)
class TableSpec:
    """What `@table` makes of a class. `key` are all columns of the primary key, the org's id included unless the key is
    unique in all orgs; `indexes` are further ones, a leading - in a column meaning descending.
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

    @property
    def key_of_org(self) -> bool:
        """Whether the org is in the key, as `upsert` and `add` need: no row of one org can touch another's."""
        return "org_id" in self.key

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names."""
        return tuple(column.name for column in self.columns)

    @property
    def can_add(self) -> bool:
        """Whether all that is not key is a number, so that `add` can sum it."""
        return all(
            column.kind in NUMBERS and not column.optional for column in self.columns if column.name not in self.key
        )


def table(
    *,
    key: Sequence[str],
    name: str | None = None,
    indexes: Sequence[Sequence[str]] = (),
    newest_by: Sequence[str] = (),
    expires_by: str | None = None,
    key_is_global: bool = False,
    in_key_order: bool = False,
) -> Callable[[type[R]], type[R]]:
    """Make a row's class a table.

    `key`: what an org has only one row of; with `key_is_global` what there is only one of in all orgs, such as an
    event's id. `newest_by`: `upsert` replaces the whole row if these columns of the new one are greater, and else
    leaves it. `expires_by`: a column of instants; a row goes once a later message of its org was stored at that time or
    after it. `in_key_order`: rows mostly come in the order of the key, so they are not sorted before they are written.
    The name is the class's in snake case unless another is given. `DefinitionError` says what cannot be.
    """

    def make(row: type[R]) -> type[R]:
        columns = columns_of(row)
        full_key = tuple(key) if key_is_global else ("org_id", *(part for part in key if part != "org_id"))
        spec = TableSpec(
            row=row,
            name=name or _snake(row.__name__),
            columns=columns,
            key=full_key,
            indexes=tuple(tuple(index) for index in indexes),
            newest_by=tuple(newest_by),
            expires_by=expires_by,
            in_key_order=in_key_order,
            description=" ".join((row.__doc__ or "").split()),
        )
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


def _check(spec: TableSpec) -> None:
    row, columns = spec.row.__name__, {column.name: column for column in spec.columns}
    if not is_name(spec.name) or spec.name in RESERVED:
        raise DefinitionError(row, f"a table cannot be called {spec.name!r}")
    if next(iter(columns)) != "org_id":
        raise DefinitionError(row, "a row's class must inherit from Row, whose first column is org_id")
    asked = {*spec.key, *(part.removeprefix("-") for index in spec.indexes for part in index), *spec.newest_by}
    if spec.expires_by is not None:
        asked.add(spec.expires_by)
    if unknown := sorted(asked - columns.keys()):
        raise DefinitionError(row, f"it has no column {', '.join(unknown)}")
    for part in spec.key:
        column = columns[part]
        if column.kind not in KEYS or column.optional or column.merge is not Merge.REPLACE:
            raise DefinitionError(
                f"{row}.{part}", "in a key there are plain str, int, bool, dates and instants, never None"
            )
    for part in spec.newest_by:
        if columns[part].kind not in KEYS or columns[part].optional:
            raise DefinitionError(f"{row}.{part}", "what decides which row is newer is a plain value, never None")
    if spec.newest_by and any(column.merge is not Merge.REPLACE for column in spec.columns):
        raise DefinitionError(row, "newest_by replaces the whole row, so its columns cannot merge in other ways")
    if spec.expires_by is not None and columns[spec.expires_by].kind is not Kind.INSTANT:
        raise DefinitionError(f"{row}.{spec.expires_by}", "the column that a row expires by is an Instant")
