"""Rows of a table in the binary format of COPY, by a function written for that table and compiled, as dataclasses are.

Neighbouring rows mostly come of one request and have many values in common. Which columns those are is seen in the
rows themselves: they are written first, and packed again only when one of them changes.
"""

import struct
from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from functools import lru_cache
from operator import is_
from typing import Any, NamedTuple

from wepeople_projections.batch.merge import problem_of_row
from wepeople_projections.definition.columns import Column, Kind
from wepeople_projections.definition.table import Row, TableSpec
from wepeople_projections.errors import OperationError
from wepeople_projections.postgres import binary

_SAMPLE = 32
_REFUSALS = (struct.error, TypeError, AttributeError, ValueError, OverflowError, KeyError)

_FIXED = {
    Kind.INTEGER: ("iq", "8, {0}"),
    Kind.SMALL_INTEGER: ("ih", "2, {0}"),
    Kind.FLOAT: ("id", "8, {0}"),
    Kind.BOOLEAN: ("iB", "1, BOOLEANS[{0}]"),
    Kind.DATE: ("ii", "4, day({0})"),
    Kind.DATETIME: ("iq", "8, ({0} - EPOCH) // MICROSECOND"),
    Kind.INSTANT: ("iq", "8, (us if FIRST_US <= (us := {0}) <= LAST_US else beyond(us)) - EPOCH_US"),
}
"""Kinds that have one size: how they are packed, and what is."""


class Habit(Enum):
    """How a column's values follow each other."""

    SAME = "mostly the very object that the row before has"
    FEW = "few texts, again and again"
    MANY = "any"


class Encoder(NamedTuple):
    """`columns` in the order in which `encode` writes them. It returns COPY's data without header and trailer, or
    raises `OperationError`.
    """

    columns: tuple[str, ...]
    encode: Callable[[Sequence[Row]], bytes]


def encoder(spec: TableSpec, rows: Sequence[Row]) -> Encoder:
    """The encoder for rows such as these."""
    return _compiled(spec, _habits(spec.columns, rows[:_SAMPLE]))


def _habits(columns: Sequence[Column], sample: Sequence[Row]) -> tuple[Habit, ...]:
    """A column joins those that are packed together as long as packing them all again, whenever one changes, costs less
    than it spares.
    """
    values = [[getattr(row, column.name) for row in sample] for column in columns]
    changes = [{n for n, same in enumerate(map(is_, some, some[1:])) if not same} for some in values]
    together: set[int] = set()
    changing: set[int] = set()
    for n in sorted(range(len(columns)), key=lambda n: len(changes[n])):
        more = len(changes[n] - changing)
        if more * (len(together) + 1) < len(sample) - 1 - len(changing) - more:
            together.add(n)
            changing |= changes[n]
    return tuple(
        Habit.SAME if n in together else Habit.FEW if _few(column, values[n]) else Habit.MANY
        for n, column in enumerate(columns)
    )


def _few(column: Column, values: Sequence[Any]) -> bool:
    return column.kind is Kind.TEXT and len({value for value in values if isinstance(value, str)}) * 2 <= len(values)


@lru_cache(maxsize=512)
def _compiled(spec: TableSpec, habits: tuple[Habit, ...]) -> Encoder:
    same, fixed, others = _parted(spec.columns, habits)
    order = [*same, *fixed, *(column for column, _ in others)]
    numbered = {column: n for n, column in enumerate(order)}
    names: dict[str, Any] = {**vars(binary), "COLUMNS": binary.int16(len(order)), "Texts": _Texts}
    names |= {f"encode_{n}": _optional(column) for column, n in numbered.items()}
    names |= {f"pack_{numbered[c]}": struct.Struct(f"!{_FIXED[c.kind][0]}").pack for c, _ in others if c.kind in _FIXED}
    lines, items = ["start = COLUMNS"] if not same else [], ["start"]
    if same:
        lines += _same_lines([(numbered[column], column) for column in same])
    if fixed:
        names["pack"] = struct.Struct("!" + "".join(_FIXED[column.kind][0] for column in fixed)).pack
        packed = ", ".join(_FIXED[column.kind][1].format(f"row.{column.name}") for column in fixed)
        items.append(f"pack({packed})")
    for column, habit in others:
        more_lines, more_items = _alone(numbered[column], column, habit)
        lines += more_lines
        items += more_items
    text = "\n".join(
        (
            "def write(rows):",
            *(f"    before_{numbered[column]} = rows" for column in same),
            *(
                f"    texts_{numbered[column]} = Texts({'{None: NULL}' if column.optional else ''})"
                for column, habit in others
                if habit is Habit.FEW
            ),
            "    parts = []",
            "    extend = parts.extend",
            "    for row in rows:",
            *(f"        {line}" for line in lines),
            f"        extend(({', '.join(items)},))",
            "    return b''.join(parts)",
        )
    )
    exec(compile(text, f"<encoder of {spec.name}>", "exec"), names)  # noqa: S102 - made of names that were checked
    return Encoder(tuple(column.name for column in order), _explained(spec, names["write"]))


def _parted(
    columns: Sequence[Column], habits: Iterable[Habit]
) -> tuple[list[Column], list[Column], list[tuple[Column, Habit]]]:
    """The columns that stay the same, those of one size, and all others."""
    same: list[Column] = []
    fixed: list[Column] = []
    others: list[tuple[Column, Habit]] = []
    for column, habit in zip(columns, habits, strict=True):
        if habit is Habit.SAME:
            same.append(column)
        elif column.kind in _FIXED and not column.optional:
            fixed.append(column)
        else:
            others.append((column, habit))
    return same, fixed, others


def _same_lines(same: list[tuple[int, Column]]) -> list[str]:
    changed = " or ".join(f"row.{column.name} is not before_{n}" for n, column in same)
    values = " + ".join(f"encode_{n}(before_{n})" for n, _ in same)
    return [
        f"if {changed}:",
        *(f"    before_{n} = row.{column.name}" for n, column in same),
        f"    start = COLUMNS + {values}",
    ]


def _alone(n: int, column: Column, habit: Habit) -> tuple[list[str], list[str]]:
    """The lines that read a column, and the parts that it adds to a row."""
    value = f"row.{column.name}"
    if habit is Habit.FEW:
        return [], [f"texts_{n}[{value}]"]
    if column.kind in _FIXED:
        return [], [f"NULL if {value} is None else pack_{n}({_FIXED[column.kind][1].format(value)})"]
    if column.kind in (Kind.TEXTS, Kind.DECIMAL):
        return [], [f"encode_{n}({value})"]
    lines = [f"value_{n} = {value}{'.encode()' if column.kind is Kind.TEXT and not column.optional else ''}"]
    items = ["sized_byte", f"(len(value_{n}) + 1, 1)"] if column.kind is Kind.JSONB else ["int32", f"(len(value_{n}))"]
    size = "".join(items)
    if not column.optional:
        return lines, [size, f"value_{n}"]
    if column.kind is Kind.TEXT:
        return [], [f"encode_{n}({value})"]
    lines += [f"if value_{n} is None:", f"    size_{n}, value_{n} = NULL, b''", "else:", f"    size_{n} = {size}"]
    return lines, [f"size_{n}", f"value_{n}"]


def _optional(column: Column) -> Callable[[Any], bytes]:
    encode = binary.ENCODERS[column.kind]
    if column.optional:
        return lambda value: binary.NULL if value is None else encode(value)
    return encode


class _Texts(dict[str | None, bytes]):
    """Texts written before."""

    def __missing__(self, value: str) -> bytes:
        data = self[value] = binary.text(value)
        return data


def _explained(spec: TableSpec, write: Callable[[Sequence[Row]], bytes]) -> Callable[[Sequence[Row]], bytes]:
    def encode(rows: Sequence[Row]) -> bytes:
        try:
            return write(rows)
        except _REFUSALS as error:
            problem = next((problem for row in rows if (problem := problem_of_row(spec, row))), str(error))
            raise OperationError(f"{spec.name}: {problem}") from error

    return encode
