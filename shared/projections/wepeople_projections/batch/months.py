"""What a batch has to do with the months that a table is kept by: which of them its rows are of, and which rows are of
a month that was dropped, so that nothing is written of them.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import date
from operator import attrgetter
from typing import Any

from wepeople_projections.batch.changes import Changes
from wepeople_projections.batch.layer import Layer
from wepeople_projections.batch.merge import Key
from wepeople_projections.definition.columns import Column
from wepeople_projections.definition.month import Month, day_taker, month_of
from wepeople_projections.definition.table import Row, TableSpec

_NO_VALUE = (TypeError, AttributeError, ValueError, OverflowError)
_DAYS = range(1, date.max.toordinal() + 1)


def months_of(changes: Changes) -> dict[TableSpec, set[Month]]:
    """Of each table that is kept by month: those that rows of the batch are of."""
    found: dict[TableSpec, set[Month]] = {}
    for layer in monthly(changes):
        column = _column(layer.spec)
        value = attrgetter(column.name)
        for rows in (layer.inserted, layer.upserted, layer.added):
            found.setdefault(layer.spec, set()).update(_months(column, list(map(value, rows.values()))))
    return found


def monthly(changes: Changes) -> Iterator[Layer]:
    """The layers of tables that are kept by month."""
    for layer in changes.layers:
        if isinstance(layer, Layer) and layer.spec.by_month is not None:
            yield layer


def leave_out(layer: Layer, kept_from: date) -> list[Row]:
    """Rid a layer of all that is before that day, as if it had been written and dropped; the rows that would have been
    inserted. What is no value of the column stays, for whoever writes it to refuse.
    """
    column = _column(layer.spec)
    first, day_of, place = kept_from.toordinal(), day_taker(column), layer.spec.key.index(column.name)

    def is_before(key: Key) -> bool:
        try:
            return day_of(key[place] if len(layer.spec.key) > 1 else key) < first
        except _NO_VALUE:
            return False

    left = [row for key, row in layer.inserted.items() if is_before(key)]
    for rows in (layer.inserted, layer.upserted, layer.added, layer.touched):
        for key in [key for key in rows if is_before(key)]:
            del rows[key]
    for keys in (layer.deleted, layer.absent):
        keys.difference_update([key for key in keys if is_before(key)])
    return left


def _column(spec: TableSpec) -> Column:
    return next(column for column in spec.columns if column.name == spec.by_month)


def _months(column: Column, values: Sequence[Any]) -> set[Month]:
    """Those that values are of; of what is no value of the column, none. Mostly all are of one."""
    day_of = day_taker(column)
    try:
        first, last = (month_of(date.fromordinal(day_of(value))) for value in (min(values), max(values)))
        if first == last:
            return {first}
        days = set(map(day_of, values))
    except _NO_VALUE:
        days = {day for value in values for day in _day(day_of, value)}
    return {month_of(date.fromordinal(day)) for day in days if day.__class__ is int and day in _DAYS}


def _day(day_of: Callable[[Any], int], value: Any) -> Iterator[int]:
    try:
        yield day_of(value)
    except _NO_VALUE:
        return
