"""A projection: a class with tables and handlers. `define` checks one and finds what it has."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from wepeople_contracts.directory import DirectoryFact
from wepeople_projections.definition.columns import is_name
from wepeople_projections.definition.marking import ALL, F, check_takes_one, mark, marked, patterns_of
from wepeople_projections.definition.operations import Emitted
from wepeople_projections.definition.selection import matches
from wepeople_projections.definition.table import Row, TableSpec, spec_of
from wepeople_projections.errors import DefinitionError

Handler = Callable[[Any], Emitted]

_KINDS = ("event", "snapshot", "request", "reject", "identified", "fact")
_EXAMPLES = {"name": 'name = "deploys"', "version": "version = 1"}
_LAST_VERSION = 99_999
"""The name of a schema has room for no more digits."""
_TAKEN_NAMES = re.compile(r"pg_.*|public|information_schema|.*_v[0-9]+(_.*)?")
"""Schemas of Postgres, and of the versions of projections."""
_REMEMBERED_TYPES = 4096


class Projection:
    """Inherit, name it, give it a version and tables, and write handlers: pure functions of what they are given.

    A new `version` is built beside the old one and takes its place by `wepeople projection promote`. With `ordered`,
    what comes of a worker after a row that was parked waits behind it. `resolves_workers = False` spares the work of
    finding whom a row is about, where nobody asks. `views` are SELECTs over the tables (`{schema}.my_table`) that are
    offered under their names beside the tables, or in the place of one of the same name. `parts` makes one projection
    of several, built together and swapped together.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    tables: ClassVar[tuple[type[Row], ...]] = ()
    views: ClassVar[Mapping[str, str]] = {}
    parts: ClassVar[tuple[type["Projection"], ...]] = ()
    ordered: ClassVar[bool] = False
    resolves_workers: ClassVar[bool] = True


def on_event(*event_types: str) -> Callable[[F], F]:
    """The method takes each `Event` of these types (`deploy.*` takes all that begin so), or every one."""
    return mark("event", patterns_of("on_event", event_types))


def on_snapshot(*snapshot_types: str) -> Callable[[F], F]:
    """The method takes each `Snapshot` of these types, or every one."""
    return mark("snapshot", patterns_of("on_snapshot", snapshot_types))


def on_request() -> Callable[[F], F]:
    """The method takes each `Request`, before its rows."""
    return mark("request", (ALL,))


def on_reject() -> Callable[[F], F]:
    """The method takes each `Reject`, before the request's accepted rows."""
    return mark("reject", (ALL,))


def on_identified() -> Callable[[F], F]:
    """The method takes each `Identified`."""
    return mark("identified", (ALL,))


def on_fact(*bodies: type[DirectoryFact]) -> Callable[[F], F]:
    """The method takes each `Fact` whose body is of these types, such as `OrgFounded`, or every one."""
    if not all(isinstance(body, type) for body in bodies):
        raise DefinitionError("@on_fact", "it takes classes of facts; write @on_fact() for all")
    return mark("fact", tuple(body.__name__ for body in bodies) or (ALL,))


@dataclass(slots=True)
class Handlers:
    """The handlers of one kind of item; `of` finds those that take a type, in the order of the parts and methods,
    each once.
    """

    exact: list[tuple[str, Handler]] = field(default_factory=list)
    _found: dict[str, tuple[Handler, ...]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.exact)

    def of(self, type_name: str) -> tuple[Handler, ...]:
        """Those that take items of this type."""
        found = self._found.get(type_name)
        if found is None:
            # Senders choose the types, as many as they like.
            if len(self._found) >= _REMEMBERED_TYPES:
                self._found.clear()
            takers = (handler for pattern, handler in self.exact if matches(pattern, type_name))
            found = self._found[type_name] = tuple(dict.fromkeys(takers))
        return found


@dataclass(frozen=True, slots=True)
class Definition:
    """A projection taken apart: what it is called, its tables and views, and its handlers by what they take."""

    name: str
    version: int
    tables: tuple[TableSpec, ...]
    views: Mapping[str, str]
    ordered: bool
    resolves_workers: bool
    events: Handlers
    snapshots: Handlers
    requests: Handlers
    rejects: Handlers
    identified: Handlers
    facts: Handlers

    @property
    def schema(self) -> str:
        """Where this version has its tables."""
        return f"{self.name}_v{self.version}"

    def table(self, row: type[Row]) -> TableSpec:
        """The table of a row's class; `DefinitionError` when the projection does not list it."""
        spec = spec_of(row)
        if spec not in self.tables:
            raise DefinitionError(self.name, f"{row.__name__} is not among its tables")
        return spec


def define(projection: type[Projection]) -> Definition:
    """Check a projection and take it apart; `DefinitionError` says what cannot be."""
    where = projection.__name__
    _check_name(projection)
    parts = _tuple(projection, "parts") or (projection,)
    handlers: dict[str, Handlers] = {kind: Handlers() for kind in _KINDS}
    tables: list[TableSpec] = []
    views: dict[str, str] = {}
    for part in parts:
        if part is not projection and part.parts:
            raise DefinitionError(where, f"its part {part.__name__} has parts itself: name those instead")
        tables += map(spec_of, _tuple(part, "tables"))
        views |= part.views
        instance = part()
        for name, kind, patterns in marked(part):
            handler = getattr(instance, name)
            check_takes_one(f"{part.__name__}.{name}", handler)
            handlers[kind].exact += [(pattern, handler) for pattern in patterns]
    if projection.parts and (projection.tables or any(marked(projection))):
        raise DefinitionError(where, "what has parts has no tables or handlers itself: make them one more part")
    views |= projection.views
    _check_names(where, [spec.name for spec in tables], views)
    if not any(handlers.values()):
        raise DefinitionError(where, "it has no handler: mark a method with @on_event() or another of its kind")
    if not tables:
        raise DefinitionError(where, "its handlers have no table to write to: list one, such as tables = (PerService,)")
    ordered = projection.ordered or any(part.ordered for part in parts)
    resolves_workers = any(part.resolves_workers for part in parts)
    if not resolves_workers and (ordered or handlers["identified"]):
        raise DefinitionError(where, "ordered and @on_identified() need workers: leave resolves_workers = True")
    return Definition(
        name=projection.name,
        version=projection.version,
        tables=tuple(tables),
        views=views,
        ordered=ordered,
        resolves_workers=resolves_workers,
        events=handlers["event"],
        snapshots=handlers["snapshot"],
        requests=handlers["request"],
        rejects=handlers["reject"],
        identified=handlers["identified"],
        facts=handlers["fact"],
    )


def _check_name(projection: type[Projection]) -> None:
    where = projection.__name__
    for attribute, kind in (("name", str), ("version", int)):
        value = getattr(projection, attribute, None)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise DefinitionError(where, f"it has no {attribute}; give it one, such as {_EXAMPLES[attribute]}")
    if not is_name(projection.name) or projection.version < 1:
        raise DefinitionError(where, "a name is lower case (letters, digits, _), a version 1 or more")
    if projection.version > _LAST_VERSION:
        raise DefinitionError(where, f"a version is at most {_LAST_VERSION:,}")
    if _TAKEN_NAMES.fullmatch(projection.name):
        raise DefinitionError(where, f"{projection.name!r} may be a schema of somebody else: choose another name")


def _tuple(part: type[Projection], attribute: str) -> tuple[Any, ...]:
    given = getattr(part, attribute)
    if not isinstance(given, tuple):
        raise DefinitionError(part.__name__, f"{attribute} is a tuple; write ({attribute.capitalize()[:-1]},) for one")
    return given


def _check_names(where: str, tables: list[str], views: Mapping[str, str]) -> None:
    if twice := {name for name in tables if tables.count(name) > 1}:
        raise DefinitionError(where, f"two tables are called {', '.join(sorted(twice))}")
    if wrong := sorted(name for name in views if not is_name(name)):
        raise DefinitionError(where, f"a view cannot be called {wrong[0]!r}")
