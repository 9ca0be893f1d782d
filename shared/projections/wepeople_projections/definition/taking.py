"""What a column takes: the reasons against a value, and which values Postgres takes beyond doubt.

Both are stricter for what is merged (`upsert`, `add`) than Postgres is: a value that is merged with another before it
is written must be refused as if it had been written alone.
"""

import json
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from wepeople_projections.definition.columns import Column, Kind

_JSONB_BYTES = 100_000
_SHOWN_LENGTH = 60
INSTANTS = range(-62_135_596_800_000_000, 253_402_300_800_000_000)
"""The years 1 to 9999."""
_INTEGERS = range(-(2**63), 2**63)
_SMALL_INTEGERS = range(-(2**15), 2**15)
_DIGITS = range(-10_000, 100_000)
"""Places after and before the decimal point; numeric has 16,383 and 131,072."""


class _Taken(NamedTuple):
    words: str
    is_taken: Callable[[Any], bool]


def problem_of(column: Column, value: Any) -> str | None:
    """What is wrong with a value for this column; None when it is right."""
    if value is None:
        return None if column.optional else "is None, but the column is not `| None`"
    words, is_taken = _TAKEN[column.kind]
    return None if is_taken(value) else f"is {_shown(value)}, but the column takes {words}"


def is_beyond_doubt(column: Column, value: Any) -> bool:
    """Whether Postgres takes a value with which `problem_of` finds nothing wrong: JSON may be too much for it."""
    if value is None or column.kind not in (Kind.JSON, Kind.JSONB):
        return True
    return is_surely_json(value) if column.kind is Kind.JSON else is_surely_jsonb(value)


def is_text(value: Any) -> bool:
    """Text as Postgres has it: without a NUL, and UTF-8 can say it."""
    if not isinstance(value, str) or "\0" in value:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_raw_text(value: Any) -> bool:
    """The same as UTF-8 bytes."""
    if not isinstance(value, bytes) or b"\0" in value:
        return False
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def is_json(value: Any) -> bool:
    """Whether bytes are JSON."""
    if not is_raw_text(value):
        return False
    try:
        json.loads(value, parse_constant=_refuse)
    except ValueError:
        return False
    except RecursionError:
        return True
    return True


def is_surely_json(value: Any) -> bool:
    """Whether bytes are JSON of a modest kind: no half of a surrogate pair, no huge number, not nested very deep."""
    try:
        msgspec.json.decode(value)
    except (TypeError, ValueError, RecursionError):
        return False
    return is_raw_text(value)


def is_surely_jsonb(value: Any) -> bool:
    """The same for JSONB, which has no NULs in its strings."""
    return is_surely_json(value) and len(value) < _JSONB_BYTES and b"\\u0000" not in value


def is_decimal(value: Any) -> bool:
    """A finite Decimal with digits where numeric has places for them."""
    if not isinstance(value, Decimal) or not value.is_finite():
        return False
    exponent = value.as_tuple().exponent
    return isinstance(exponent, int) and exponent in _DIGITS and value.adjusted() in _DIGITS


def _is_datetime(value: Any) -> bool:
    return isinstance(value, datetime) and value.utcoffset() is not None


def _is_float(value: Any) -> bool:
    return isinstance(value, float) or (type(value) is int and abs(value) <= 2**53)


_TAKEN: Mapping[Kind, _Taken] = {
    Kind.TEXT: _Taken("a str without NUL", is_text),
    Kind.RAW_TEXT: _Taken("bytes of UTF-8 without NUL", is_raw_text),
    Kind.TEXTS: _Taken("a list of str", lambda value: isinstance(value, list) and all(map(is_text, value))),
    Kind.INTEGER: _Taken("an int of 64 bits", lambda value: type(value) is int and value in _INTEGERS),
    Kind.SMALL_INTEGER: _Taken("an int of 16 bits", lambda value: type(value) is int and value in _SMALL_INTEGERS),
    Kind.DECIMAL: _Taken("a finite Decimal", is_decimal),
    Kind.FLOAT: _Taken("a float", _is_float),
    Kind.BOOLEAN: _Taken("a bool", lambda value: isinstance(value, bool)),
    Kind.DATE: _Taken("a date", lambda value: isinstance(value, date) and not isinstance(value, datetime)),
    Kind.DATETIME: _Taken("a datetime with a time zone", _is_datetime),
    Kind.INSTANT: _Taken(
        "microseconds since 1970, of the years 1 to 9999", lambda value: type(value) is int and value in INSTANTS
    ),
    Kind.BYTES: _Taken("bytes", lambda value: isinstance(value, bytes)),
    Kind.JSON: _Taken("JSON as bytes", is_json),
    Kind.JSONB: _Taken("JSON as bytes", is_json),
}


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN_LENGTH else text[:_SHOWN_LENGTH] + "..."
