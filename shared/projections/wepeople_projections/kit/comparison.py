"""Compares rows that were expected with those that are there, in whatever order, and shows what differs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import isnan
from typing import Any

import msgspec

from wepeople_projections.definition.columns import Column, Kind
from wepeople_projections.definition.table import Row, TableSpec
from wepeople_projections.times import EPOCH, MICROSECOND, as_datetime

Expected = Mapping[str, Any]
"""Some columns of a row, by name."""

_SHOWN_ROWS = 20
_WIDEST = 48


@dataclass(frozen=True, slots=True)
class Comparison:
    """Each expected row with the row that it is, those that are nowhere, and rows that nobody expected."""

    met: list[tuple[Expected, Row]]
    missing: list[Expected]
    surplus: list[Row]

    @property
    def differs(self) -> bool:
        """Whether there is more to one side than to the other."""
        return bool(self.missing or self.surplus)


def compare(spec: TableSpec, expected: Sequence[Expected], found: Sequence[Row]) -> Comparison:
    """Give each expected row a row of its own that has its values, for as many as possible."""
    owner: dict[int, int] = {}
    fits = [[place for place, row in enumerate(found) if _fits(spec, wanted, row)] for wanted in expected]
    for wanted in range(len(expected)):
        _assign(wanted, fits, owner, set())
    given_to = {wanted: place for place, wanted in owner.items()}
    return Comparison(
        met=[(expected[wanted], found[place]) for wanted, place in sorted(given_to.items())],
        missing=[row for wanted, row in enumerate(expected) if wanted not in given_to],
        surplus=[row for place, row in enumerate(found) if place not in owner],
    )


def shown(spec: TableSpec, comparison: Comparison, marks: tuple[str, str] = ("expected", "found")) -> str:
    """The rows as a table: `-` before those that are missing, `+` before those that nobody expected."""
    mentioned = {name for wanted in comparison.missing for name in wanted}
    mentioned |= {name for wanted, _ in comparison.met for name in wanted}
    columns = [column for column in spec.columns if column.name in mentioned or not mentioned]
    lines = [["", *(column.name for column in columns)]]
    for wanted in comparison.missing:
        values = (_text(column, wanted[column.name]) if column.name in wanted else "" for column in columns)
        lines += [["-", *values]]
    for mark, rows in (("+", comparison.surplus), ("", [row for _, row in comparison.met])):
        lines += [[mark, *(_text(column, getattr(row, column.name)) for column in columns)] for row in rows]
    omitted = len(lines) - 1 - _SHOWN_ROWS
    text = _aligned(lines[: _SHOWN_ROWS + 1])
    more = f"  ... and {omitted} more\n" if omitted > 0 else ""
    return f"{text}\n{more}  (- {marks[0]} only, + {marks[1]} only)"


def _aligned(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(len(line[place]) for line in lines) for place in range(len(lines[0]))]
    cells = ([text.ljust(width) for text, width in zip(line, widths, strict=True)] for line in lines)
    return "\n".join(f"  {'  '.join(line)}".rstrip() for line in cells)


def _assign(wanted: int, fits: Sequence[Sequence[int]], owner: dict[int, int], tried: set[int]) -> bool:
    """Find the expected row a place, moving others on where they have another (augmenting paths)."""
    for place in fits[wanted]:
        if place not in tried:
            tried.add(place)
            if place not in owner or _assign(owner[place], fits, owner, tried):
                owner[place] = wanted
                return True
    return False


def _fits(spec: TableSpec, wanted: Expected, row: Row) -> bool:
    asked = (column for column in spec.columns if column.name in wanted)
    return all(_same(column, wanted[column.name], getattr(row, column.name)) for column in asked)


def _same(column: Column, wanted: Any, found: Any) -> bool:
    """Equal, where an instant may be expected as a datetime, JSON as what it says, and raw text as text."""
    if column.kind is Kind.INSTANT and isinstance(wanted, datetime):
        wanted = (wanted - EPOCH) // MICROSECOND
    elif column.kind in (Kind.JSON, Kind.JSONB) and found is not None and not isinstance(wanted, bytes):
        found = msgspec.json.decode(found)
    elif column.kind is Kind.RAW_TEXT and isinstance(wanted, str):
        wanted = wanted.encode()
    if isinstance(wanted, float) and isinstance(found, float) and isnan(wanted):
        return isnan(found)
    return bool(wanted == found) and isinstance(wanted, bool) == isinstance(found, bool)


def _text(column: Column, value: Any) -> str:
    if column.kind is Kind.INSTANT and isinstance(value, int) and not isinstance(value, bool):
        value = as_datetime(value)
    if isinstance(value, datetime):
        value = value.isoformat()
    elif isinstance(value, bytes) and column.kind is not Kind.BYTES:
        value = value.decode(errors="replace")
    text = str(value)
    return text if len(text) <= _WIDEST else text[: _WIDEST - 3] + "..."
