"""Tables in memory: what the database does, for tests and for trying a projection out."""

from collections.abc import Callable, Iterable
from typing import Any

from wepeople_projections.batch.changes import Changes
from wepeople_projections.batch.layer import Layer, twice
from wepeople_projections.batch.merge import Key, problem_of_row, rules_of
from wepeople_projections.definition.table import Row, TableSpec
from wepeople_projections.errors import OperationError
from wepeople_projections.folding.identity import Identifier
from wepeople_projections.folding.parked import Parked


class MemoryTables:
    """A projection's schema as dictionaries. `parked` is all that was parked, `applied` counts the stream's rows."""

    def __init__(self) -> None:
        self.parked: list[Parked] = []
        self.applied = 0
        self._tables: dict[TableSpec, dict[Key, Row]] = {}
        self._salts: dict[str, bytes] = {}
        self._bindings: dict[Identifier, str] = {}
        self._workers: set[tuple[str, str]] = set()
        self._named: dict[str, str] = {}

    def write(self, changes: Changes) -> None:
        """Write a batch: all of it, or, with `OperationError` for what the database would refuse, nothing."""
        undo: list[Callable[[], object]] = []
        try:
            for layer in changes.layers:
                if not isinstance(layer, Layer):
                    raise OperationError("an sql operation needs a database: run the projection to see what it does")
                _write_layer(layer, _Journal(self._tables.setdefault(layer.spec, {}), undo))
            self._check_runtime(changes)
        except BaseException:
            for step in reversed(undo):
                step()
            raise
        self._salts |= {org.org_id: org.salt for org in changes.orgs}
        self._bindings |= changes.bound
        self._workers |= {(identifier.org_id, worker) for identifier, worker in changes.bound.items()}
        self._named |= changes.named
        self.parked += changes.parked
        self.applied += changes.rows

    def rows(self, spec: TableSpec) -> list[Row]:
        """A table's rows, in the order of its key."""
        table = self._tables.get(spec, {})
        return [table[key] for key in sorted(table)]

    def bindings(self, identifiers: Iterable[Identifier]) -> dict[Identifier, str | None]:
        """The worker that each identifier is bound to, or None. A workerId is its own worker's once there is one."""
        return {identifier: self._worker_of(identifier) for identifier in identifiers}

    def taken(self, event_ids: Iterable[str]) -> set[str]:
        """Those ids of named events that are there."""
        return {event_id for event_id in event_ids if event_id in self._named}

    def salts(self) -> dict[str, bytes]:
        """The salt of each org founded."""
        return dict(self._salts)

    def _worker_of(self, identifier: Identifier) -> str | None:
        if identifier.kind == "workerId":
            return identifier.value if (identifier.org_id, identifier.value) in self._workers else None
        return self._bindings.get(identifier)

    def _check_runtime(self, changes: Changes) -> None:
        known: tuple[tuple[str, Iterable[Any], dict[Any, Any]], ...] = (
            ("org", (org.org_id for org in changes.orgs), self._salts),
            ("identifier", changes.bound, self._bindings),
            ("named event", changes.named, self._named),
        )
        for what, keys, there in known:
            for key in keys:
                if key in there:
                    raise OperationError(f"the {what} {key!r} is there already")


class _Journal:
    """A table whose changes can be taken back."""

    def __init__(self, rows: dict[Key, Row], undo: list[Callable[[], object]]) -> None:
        self.rows = rows
        self._undo = undo

    def put(self, key: Key, row: Row) -> None:
        self._note(key)
        self.rows[key] = row

    def drop(self, key: Key) -> None:
        self._note(key)
        self.rows.pop(key, None)

    def _note(self, key: Key) -> None:
        before = self.rows.get(key)
        self._undo.append(lambda: self.rows.pop(key, None) if before is None else self.rows.update({key: before}))


def _write_layer(layer: Layer, table: _Journal) -> None:
    """In the order that layer.py says."""
    rules = rules_of(layer.spec)
    for key in _expired(layer, table.rows):
        table.drop(key)
    if there := layer.absent & table.rows.keys():
        raise twice(layer.spec, there.pop())
    for key in layer.deleted:
        table.drop(key)
    for key, row in layer.inserted.items():
        if problem := problem_of_row(layer.spec, row):
            raise OperationError(problem)
        if key in table.rows:
            raise twice(layer.spec, key)
        table.put(key, row)
    for rows, merge in ((layer.upserted, rules.merged), (layer.added, rules.summed)):
        for key, row in rows.items():
            before = table.rows.get(key)
            after = row if before is None else merge(before, row)
            if problem := problem_of_row(layer.spec, after):
                raise OperationError(problem)
            table.put(key, after)


def _expired(layer: Layer, rows: dict[Key, Row]) -> list[Key]:
    if layer.spec.expires_by is None or not layer.expire:
        return []
    expired = []
    for key, row in rows.items():
        at_us, until_us = getattr(row, layer.spec.expires_by), layer.expire.get(row.org_id)
        if key in layer.touched:
            until_us = layer.touched[key]
        if at_us is not None and until_us is not None and at_us <= until_us:
            expired.append(key)
    return expired
