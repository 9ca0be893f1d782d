"""Rows as one JSON parameter, which a statement takes apart by `json_to_recordset`, every value exactly as it was.

The driver's arrays would take ten times as long to make. A value that JSON has no exact word for is text in it, which
Postgres reads.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from wepeople_projections.definition.columns import Column, Kind
from wepeople_projections.errors import OperationError
from wepeople_projections.postgres.binary import MICROSECOND

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_JULIAN_DAY = 2_440_588
_DAY_US = 86_400_000_000
_FAILURES = (TypeError, AttributeError, ValueError, OverflowError)


def instant(us: int) -> str:
    """Microseconds since 1970 as a timestamptz in text: by the Julian day, which every year of Postgres has."""
    days, rest = divmod(us, _DAY_US)
    seconds, microseconds = divmod(rest, 1_000_000)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    return f"J{_EPOCH_JULIAN_DAY + days} {hour:02}:{minute:02}:{second:02}.{microseconds:06}+00"


def as_json(columns: Sequence[Column], rows: Iterable[Sequence[Any]]) -> str:
    """The rows, each with a value for each column, as an array of objects; `OperationError` for what is no value."""
    fields = [(column.name, _WRITERS.get(column.kind)) for column in columns]
    try:
        return msgspec.json.encode(
            [
                {
                    name: value if write is None or value is None else write(value)
                    for (name, write), value in zip(fields, row, strict=True)
                }
                for row in rows
            ]
        ).decode()
    except _FAILURES as error:
        raise OperationError(f"a value cannot be stored: {error}") from error


def taken_apart(columns: Sequence[Column]) -> str:
    """The columns of such an array, as `json_to_recordset` names them."""
    return ", ".join(f'"{column.name}" {_TYPES.get(column.kind, column.kind.value)}' for column in columns)


def selected(column: Column) -> str:
    """A column of such an array, in the type of its table."""
    return f'"{column.name}"::{column.kind.value}' if column.kind in (Kind.JSON, Kind.JSONB) else f'"{column.name}"'


_TYPES = {Kind.TEXT: "text", Kind.JSON: "text", Kind.JSONB: "text"}

_WRITERS: Mapping[Kind, Callable[[Any], Any]] = {
    Kind.RAW_TEXT: lambda value: value.decode(),
    Kind.DECIMAL: str,
    Kind.FLOAT: lambda value: repr(float(value)),
    Kind.DATE: lambda value: value.isoformat(),
    Kind.DATETIME: lambda value: instant((value - _EPOCH) // MICROSECOND),
    Kind.INSTANT: instant,
    Kind.BYTES: lambda value: f"\\x{value.hex()}",
    Kind.JSON: lambda value: value.decode(),
    Kind.JSONB: lambda value: value.decode(),
}
