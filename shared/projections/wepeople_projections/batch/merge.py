"""How two rows of one key become one, and which rows can be merged before Postgres has seen them.

For each table functions are compiled once, as `dataclasses` does it: they run for every operation.

Merging is associative: a row in the table merged with `a` and then with `b` is the row merged with (`a` merged with
`b`). Where values are equal, the one that is there stays (1.0 and 1.00 are equal, and show).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context
from functools import cache
from math import isnan
from operator import attrgetter
from typing import Any

from wepeople_projections.definition.columns import Column, Kind, Merge
from wepeople_projections.definition.table import Row, TableSpec
from wepeople_projections.definition.taking import (
    is_beyond_doubt,
    is_raw_text,
    is_surely_json,
    is_surely_jsonb,
    is_text,
    problem_of,
)

Key = Any
"""The values of a key's columns as a tuple; of a key with one column, the value itself."""

_INDEXED_LENGTH = 600
"""Text of an index is surely taken up to this length, its columns together: Postgres takes 2,704 bytes."""
_SUMMED = 2**53
"""Greater integers are summed by Postgres one by one, so that the very one is refused with which a sum is past 64
bits. Smaller ones are summed here: if they bring a sum past 64 bits and back, which takes one that is that near to
2**63, no row of them is refused.
"""
_EXACT = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)
_NAMES = {
    "date": date,
    "exactly": _EXACT.add,
    "is_raw_text": is_raw_text,
    "is_surely_json": is_surely_json,
    "is_surely_jsonb": is_surely_jsonb,
    "is_text": is_text,
}


@dataclass(frozen=True, slots=True, eq=False)
class Rules:
    """One table's. `merged(there, new)` is what `upsert` makes of two rows, `summed(there, new)` what `add` makes.

    `is_sure(row)`: Postgres takes it beyond doubt, so it may be merged, or go, without having been written;
    `is_sure_to_add(row)`: the same for a row of `add`. `can_outgrow`: two sure rows may come to one that is not.
    `sums_after_upsert`: an upsert and an add of one key are one upsert.
    """

    key_of: Callable[[Row], Key]
    is_sure: Callable[[Row], bool]
    is_sure_to_add: Callable[[Row], bool]
    merged: Callable[[Row, Row], Row]
    summed: Callable[[Row, Row], Row]
    can_outgrow: bool
    sums_after_upsert: bool


@cache
def rules_of(spec: TableSpec) -> Rules:
    """The rules of a table."""
    return Rules(
        key_of=attrgetter(*spec.key),
        is_sure=_compiled_check(spec, [c for c in spec.values if c.merge is Merge.SUM]),
        is_sure_to_add=_compiled_check(spec, spec.values),
        merged=_compiled(spec, "there, new", _merging(spec)),
        summed=_compiled(spec, "there, new", _row(spec, _summed)),
        can_outgrow=spec.can_add or any(c.merge is Merge.SUM for c in spec.columns),
        sums_after_upsert=not spec.newest_by and all(c.merge in (Merge.REPLACE, Merge.SUM) for c in spec.values),
    )


def key_of_values(values: tuple[Any, ...]) -> Key:
    """A `Key` from the values of the key's columns."""
    return values[0] if len(values) == 1 else values


def problem_of_row(spec: TableSpec, row: Row) -> str | None:
    """What is wrong with a row, naming the column; None when all is right."""
    for column in spec.columns:
        if problem := problem_of(column, getattr(row, column.name)):
            return f"{spec.row.__name__}.{column.name} {problem}"
    return None


def united(there: list[str], new: list[str]) -> list[str]:
    """What is there, and after it what the new one has beyond it, each once."""
    return there + [text for text in dict.fromkeys(new) if text not in there]


def _merging(spec: TableSpec) -> str:
    if spec.newest_by:
        new, there = (", ".join(f"{row}.{name}" for name in spec.newest_by) for row in ("new", "there"))
        return f"new if ({new},) > ({there},) else there"
    if all(column.merge is Merge.REPLACE for column in spec.values):
        return "new"
    return _row(spec, _merged)


def _row(spec: TableSpec, value: Callable[[Column], str]) -> str:
    parts = (f"there.{c.name}" if c.name in spec.key else value(c) for c in spec.columns)
    return f"Row({', '.join(f'{c.name}={part}' for c, part in zip(spec.columns, parts, strict=True))})"


def _merged(column: Column) -> str:
    there, new = f"there.{column.name}", f"new.{column.name}"
    match column.merge:
        case Merge.REPLACE:
            return new
        case Merge.FIRST:
            return there
        case Merge.KNOWN:
            return f"({there} if {new} is None else {new})"
        case Merge.SUM:
            return _summed(column)
        case Merge.UNITED:
            return f"({there} if {new} == {there} else united({there}, {new}))"
        case Merge.LEAST:
            compared = f"is_less({new}, {there})" if column.kind is Kind.FLOAT else f"{new} < {there}"
        case Merge.GREATEST:
            compared = f"is_less({there}, {new})" if column.kind is Kind.FLOAT else f"{new} > {there}"
    return f"({new} if {compared} else {there})"


def _summed(column: Column) -> str:
    there, new = f"there.{column.name}", f"new.{column.name}"
    return f"exactly({there}, {new})" if column.kind is Kind.DECIMAL else f"{there} + {new}"


def _is_less(one: float, other: float) -> bool:
    """As in Postgres, where NaN is greater than every number."""
    return one < other or (isnan(other) and not isnan(one))


def _compiled_check(spec: TableSpec, summed: Sequence[Column]) -> Callable[[Row], bool]:
    """A check that names nothing: quick for plain values, else with all that `problem_of` knows."""
    indexed = {part.removeprefix("-") for columns in (spec.key, *spec.indexes) for part in columns}
    texts = [c.name for c in spec.columns if c.name in indexed and c.kind is Kind.TEXT]
    longest = _INDEXED_LENGTH // max(1, len(texts))
    checks = []
    for column in spec.columns:
        value = f"row.{column.name}"
        check = _CHECKS.get(column.kind, "right({column!r}, {value})").format(value=value, column=column.name)
        if column in summed and column.kind is Kind.INTEGER:
            check += f" and {-_SUMMED} <= {value} <= {_SUMMED}"
        if column.name in texts:
            check += f" and len({value}) <= {longest}"
        checks.append(f"({value} is None or {check})" if column.optional else check)
    columns = {column.name: column for column in spec.columns}

    def right(name: str, value: Any) -> bool:
        return problem_of(columns[name], value) is None and is_beyond_doubt(columns[name], value)

    return _compiled(spec, "row", " and ".join(checks), right=right)


_CHECKS = {
    Kind.TEXT: 'isinstance({value}, str) and "\\0" not in {value} and ({value}.isascii() or is_text({value}))',
    Kind.RAW_TEXT: "is_raw_text({value})",
    Kind.INTEGER: "{value}.__class__ is int and -9223372036854775808 <= {value} <= 9223372036854775807",
    Kind.INSTANT: "{value}.__class__ is int and -62135596800000000 <= {value} < 253402300800000000",
    Kind.FLOAT: "({value}.__class__ is float or right({column!r}, {value}))",
    Kind.BOOLEAN: "{value}.__class__ is bool",
    Kind.DATE: "{value}.__class__ is date",
    Kind.BYTES: "{value}.__class__ is bytes",
    Kind.JSON: "is_surely_json({value})",
    Kind.JSONB: "is_surely_jsonb({value})",
}
"""How to see quickly that a value is right; of other kinds, and of those that are not, `problem_of` knows."""


def _compiled(spec: TableSpec, arguments: str, expression: str, **names: Any) -> Callable[..., Any]:
    """A function of an expression made of the columns' names, which are identifiers, and of this module's text."""
    scope = {"Row": spec.row, "is_less": _is_less, "united": united, **_NAMES, **names}
    function: Callable[..., Any] = eval(f"lambda {arguments}: {expression}", scope)  # noqa: S307
    return function
