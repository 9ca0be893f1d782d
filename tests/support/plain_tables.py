"""What operations mean, as plainly as can be: each is done at once, and nothing is gathered."""

from collections.abc import Callable, Iterable, Sequence
from decimal import Context, Decimal
from typing import Any

from wepeople_projections.batch.merge import problem_of_row
from wepeople_projections.definition.columns import Column, Merge
from wepeople_projections.definition.operations import Add, Delete, Insert, Operation, Upsert
from wepeople_projections.definition.table import Row, TableSpec, spec_of

Values = dict[str, Any]


class Refused(Exception):
    """An operation that cannot be done."""


def _united(there: list[str], new: list[str]) -> list[str]:
    result = list(there)
    for text in new:
        if text not in result:
            result.append(text)
    return result


def _sum(there: Any, new: Any) -> Any:
    return Context(prec=1000).add(there, new) if isinstance(new, Decimal) else there + new


_MERGES: dict[Merge, Callable[[Any, Any], Any]] = {
    Merge.REPLACE: lambda there, new: new,
    Merge.FIRST: lambda there, new: there,
    Merge.KNOWN: lambda there, new: there if new is None else new,
    Merge.SUM: _sum,
    Merge.LEAST: lambda there, new: new if new < there else there,
    Merge.GREATEST: lambda there, new: new if new > there else there,
    Merge.UNITED: _united,
}


class PlainTables:
    """Rows as dictionaries, by the table's name and the key."""

    def __init__(self, specs: Iterable[TableSpec]) -> None:
        self._specs = tuple(specs)
        self._tables: dict[str, dict[tuple[Any, ...], Values]] = {spec.name: {} for spec in self._specs}

    def pass_time(self, org_id: str, stored_at_us: int) -> None:
        """A message of the org was stored then."""
        for spec in self._specs:
            if spec.expires_by is not None:
                self._tables[spec.name] = {
                    key: row
                    for key, row in self._tables[spec.name].items()
                    if row["org_id"] != org_id or row[spec.expires_by] is None or row[spec.expires_by] > stored_at_us
                }

    def apply(self, org_id: str, operations: Sequence[Operation]) -> None:
        """Do the operations; all of them, or `Refused`."""
        before = {name: dict(rows) for name, rows in self._tables.items()}
        try:
            for operation in operations:
                self._do(org_id, operation)
        except Refused:
            self._tables = before
            raise

    def rows(self, spec: TableSpec) -> list[Row]:
        """As `MemoryTables.rows`."""
        table = self._tables[spec.name]
        return [spec.row(**table[key]) for key in sorted(table)]

    def _do(self, org_id: str, operation: Operation) -> None:
        if isinstance(operation, Delete):
            if operation.key[0] != org_id:
                raise Refused
            self._tables[spec_of(operation.table).name].pop(operation.key, None)
            return
        assert isinstance(operation, Insert | Upsert | Add)
        spec = spec_of(type(operation.row))
        new = {column.name: getattr(operation.row, column.name) for column in spec.columns}
        key = tuple(new[part] for part in spec.key)
        there = self._tables[spec.name].get(key)
        if new["org_id"] != org_id or (isinstance(operation, Insert) and there is not None):
            raise Refused
        after = new if there is None else _after(spec, operation, there, new)
        if any(problem_of_row(spec, spec.row(**row)) for row in (new, after)):
            raise Refused
        self._tables[spec.name][key] = after


def _after(spec: TableSpec, operation: Operation, there: Values, new: Values) -> Values:
    if spec.newest_by and isinstance(operation, Upsert):
        newer = [new[part] for part in spec.newest_by] > [there[part] for part in spec.newest_by]
        return new if newer else there

    def value(column: Column) -> Any:
        if column.name in spec.key:
            return there[column.name]
        merge = Merge.SUM if isinstance(operation, Add) else column.merge
        return _MERGES[merge](there[column.name], new[column.name])

    return {column.name: value(column) for column in spec.columns}
