"""What a batch of messages does to the database: gathered row by row, written in one transaction.

`layers` are written one after the other; what each means and in which order it is written, says layer.py. Of a table
there is mostly one. A statement of its own (`Sql`) stands between the layers before and those after it.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial

from wepeople_contracts.directory import OrgFounded
from wepeople_projections.batch.layer import Layer, Undo, twice
from wepeople_projections.batch.merge import Key, key_of_values
from wepeople_projections.definition.operations import Add, Delete, Insert, Operation, Sql, Upsert
from wepeople_projections.definition.table import Row, TableSpec
from wepeople_projections.definition.taking import problem_of
from wepeople_projections.errors import OperationError
from wepeople_projections.folding.identity import Identifier
from wepeople_projections.folding.parked import Parked

_Merge = Callable[[Layer, Key, Row, Undo], bool]


class Changes:
    """One batch's. Beside the tables' layers: orgs founded, identifiers bound to workers, named events with their
    orgs, what is parked, and `rows`, how many rows of the stream were applied.
    """

    __slots__ = ("_expiring", "_open", "_specs", "bound", "layers", "named", "orgs", "parked", "rows")

    def __init__(self, tables: Iterable[TableSpec]) -> None:
        self.layers: list[Layer | Sql] = []
        self.orgs: list[OrgFounded] = []
        self.bound: dict[Identifier, str] = {}
        self.named: dict[str, str] = {}
        self.parked: list[Parked] = []
        self.rows = 0
        self._specs: dict[type[Row], TableSpec] = {spec.row: spec for spec in tables}
        self._expiring = tuple(row for row, spec in self._specs.items() if spec.expires_by is not None)
        self._open: dict[type[Row], Layer] = {}

    def apply(self, org_id: str, operations: Sequence[Operation]) -> None:
        """Apply what a row of an org's message comes to: all of it, or, with `OperationError`, nothing."""
        undo: Undo = []
        alone = len(operations) == 1
        try:
            for operation in operations:
                if operation.__class__ is Insert:
                    row = operation.row
                    layer = self._open.get(row.__class__) or self._opened(row.__class__, undo)
                    if row.org_id != org_id:
                        raise _foreign(row, org_id)
                    key = layer.key_of(row)
                    if not layer.is_plain:
                        layer.insert(key, row, undo)
                        continue
                    if key in layer.inserted:
                        raise twice(layer.spec, key)
                    layer.inserted[key] = row
                    if not alone:
                        undo.append(partial(layer.inserted.pop, key))
                else:
                    self._apply(org_id, operation, undo)
        except BaseException as error:
            for step in reversed(undo):
                step()
            if isinstance(error, TypeError):
                raise OperationError(f"a value is of a type that its column does not take: {error}") from error
            raise

    def pass_time(self, org_id: str, stored_at_us: int) -> None:
        """The next message is the org's and was stored then (microseconds since 1970): rows may expire by it."""
        for row in self._expiring:
            layer = self._open.get(row) or self._opened(row, [])
            if not layer.pass_time(org_id, stored_at_us):
                self._begun(row, []).pass_time(org_id, stored_at_us)

    def _apply(self, org_id: str, operation: Operation, undo: Undo) -> None:
        match operation:
            case Upsert(row=row):
                self._merge(org_id, row, Layer.upsert, undo)
            case Add(row=row):
                self._merge(org_id, row, Layer.add, undo)
            case Delete():
                self._delete(org_id, operation, undo)
            case Sql():
                undo.append(partial(self._unseal, dict(self._open)))
                self._open.clear()
                self.layers.append(operation)
            case _:
                raise OperationError(f"{operation!r} is no operation: emit insert, upsert, add, delete or sql")

    def _merge(self, org_id: str, row: Row, into: _Merge, undo: Undo) -> None:
        kind = row.__class__
        layer = self._open.get(kind) or self._opened(kind, undo)
        if row.org_id != org_id:
            raise _foreign(row, org_id)
        key = layer.key_of(row)
        if not into(layer, key, row, undo):
            into(self._begun(kind, undo), key, row, undo)

    def _delete(self, org_id: str, operation: Delete, undo: Undo) -> None:
        layer = self._open.get(operation.table) or self._opened(operation.table, undo)
        spec, values = layer.spec, operation.key
        columns = {column.name: column for column in spec.columns}
        for name, value in zip(spec.key, values, strict=True):
            if problem := problem_of(columns[name], value):
                raise OperationError(f"{spec.row.__name__}.{name} {problem}")
        if values[0] != org_id:
            raise OperationError(f"a message of org {org_id} deletes a row of org {values[0]} in {spec.name}")
        key = key_of_values(values)
        if not layer.delete(key, undo):
            self._begun(spec.row, undo).delete(key, undo)

    def _opened(self, row: type[Row], undo: Undo) -> Layer:
        """A layer for a table that has none open."""
        if row not in self._specs:
            raise OperationError(f"{getattr(row, '__name__', row)} is not among the projection's tables")
        return self._begun(row, undo)

    def _begun(self, row: type[Row], undo: Undo) -> Layer:
        """A new layer of a table, written after the one that it has."""
        undo.append(partial(self._reopen, row, self._open.get(row)))
        layer = self._open[row] = Layer(self._specs[row])
        self.layers.append(layer)
        return layer

    def _reopen(self, row: type[Row], layer: Layer | None) -> None:
        self.layers.pop()
        if layer is None:
            del self._open[row]
        else:
            self._open[row] = layer

    def _unseal(self, layers: dict[type[Row], Layer]) -> None:
        self.layers.pop()
        self._open = layers


def _foreign(row: Row, org_id: str) -> OperationError:
    return OperationError(f"a message of org {org_id} wrote a row of org {row.org_id}: {type(row).__name__}")
