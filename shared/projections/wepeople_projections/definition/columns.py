"""The columns that a row may have: a Python type names each, and says how two values of it become one."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from msgspec import Meta

from wepeople_projections.errors import DefinitionError

T = TypeVar("T")


class Kind(Enum):
    """What a column holds; the value is its type in Postgres. Text compares by code point, as in Python."""

    TEXT = 'text COLLATE "C"'
    RAW_TEXT = "text"
    TEXTS = "text[]"
    INTEGER = "bigint"
    SMALL_INTEGER = "smallint"
    DECIMAL = "numeric"
    FLOAT = "double precision"
    BOOLEAN = "boolean"
    DATE = "date"
    DATETIME = "timestamp with time zone"
    INSTANT = "timestamptz"
    BYTES = "bytea"
    JSON = "json"
    JSONB = "jsonb"


class Merge(Enum):
    """What `upsert` makes of the value that is there and the new one.

    Each gives the same for any way of cutting the stream into batches.
    """

    REPLACE = "the new one"
    FIRST = "the one that is there"
    KNOWN = "the new one unless it is None"
    SUM = "their sum"
    LEAST = "the smaller"
    GREATEST = "the greater"
    UNITED = "what is there, and after it what the new one has beyond it"


RawText = Annotated[bytes, Kind.RAW_TEXT]
"""Text as UTF-8 bytes: what was sent, byte for byte."""
SmallInt = Annotated[int, Kind.SMALL_INTEGER]
"""From -32,768 to 32,767."""
Instant = Annotated[int, Kind.INSTANT]
"""Microseconds since 1970 UTC, a timestamptz in the table: cheaper than a `datetime`, which a column may be too."""
Json = Annotated[bytes, Kind.JSON]
"""JSON text, kept as it is."""
Jsonb = Annotated[bytes, Kind.JSONB]
"""JSON text, for queries. As `Jsonb | None` the column is NULL where JSONB cannot hold the text (a NUL, a number
beyond numeric), instead of parking the row.
"""

First = Annotated[T, Merge.FIRST]
Known = Annotated[T, Merge.KNOWN]
Sum = Annotated[T, Merge.SUM]
Least = Annotated[T, Merge.LEAST]
Greatest = Annotated[T, Merge.GREATEST]
United = Annotated[T, Merge.UNITED]

_PLAIN: Mapping[Any, Kind] = {
    str: Kind.TEXT,
    int: Kind.INTEGER,
    bool: Kind.BOOLEAN,
    float: Kind.FLOAT,
    Decimal: Kind.DECIMAL,
    date: Kind.DATE,
    datetime: Kind.DATETIME,
    bytes: Kind.BYTES,
    list[str]: Kind.TEXTS,
}
NUMBERS = (Kind.INTEGER, Kind.DECIMAL)
"""What can be summed: exactly, so that no order of the summands shows. A sum of floats depends on it, and one of small
integers soon has no room.
"""
KEYS = (Kind.TEXT, Kind.INTEGER, Kind.SMALL_INTEGER, Kind.BOOLEAN, Kind.DATE, Kind.DATETIME, Kind.INSTANT)
TIMES = (Kind.DATE, Kind.DATETIME, Kind.INSTANT)
_UNORDERED = (Kind.TEXTS, Kind.RAW_TEXT, Kind.JSON, Kind.JSONB)
_UNORDERED_NAMES = ("list[str]", "RawText", "Json", "Jsonb")
_OFFERED = (
    "str, int, bool, float, Decimal, date, datetime, bytes, list[str], Instant, SmallInt, RawText, Json and Jsonb, "
    "each also with | None"
)
_OF_POSTGRES = ("tableoid", "xmin", "cmin", "xmax", "cmax", "ctid")
"""Columns that every table of Postgres has."""
_NAME = re.compile(r"[a-z][a-z0-9_]{0,47}")


@dataclass(frozen=True, slots=True)
class Column:
    """One column; `description` becomes its comment in the database."""

    name: str
    kind: Kind
    optional: bool
    merge: Merge
    description: str


def columns_of(row_class: type[Any]) -> tuple[Column, ...]:
    """The columns of a row's class, in the order of its fields; `DefinitionError` names the first that cannot be."""
    name = row_class.__name__
    try:
        hints = get_type_hints(row_class, include_extras=True)
    except NameError as error:
        raise DefinitionError(name, f"{error}: the types of columns are looked up where the module begins") from error
    return tuple(_column(name, field, hints[field]) for field in row_class.__struct_fields__)


def is_name(text: str) -> bool:
    """Whether a text can name a projection, a table or a column."""
    return _NAME.fullmatch(text) is not None


def _column(row: str, name: str, hint: Any) -> Column:
    if not is_name(name):
        raise DefinitionError(f"{row}.{name}", "a column's name is lower case: letters, digits and _, at most 48")
    if name in _OF_POSTGRES:
        raise DefinitionError(f"{row}.{name}", "every table of Postgres has a column of this name: choose another")
    marks, inner, optional = _taken_apart(hint)
    kind = next((mark for mark in marks if isinstance(mark, Kind)), None) or _PLAIN.get(inner)
    if kind is None:
        raise DefinitionError(f"{row}.{name}", f"{inner} is no type of a column. There are {_OFFERED}")
    merges = [mark for mark in marks if isinstance(mark, Merge)] or [Merge.REPLACE]
    if len(merges) > 1:
        raise DefinitionError(f"{row}.{name}", "two values of a column become one in one way only")
    description = next((mark.description for mark in marks if isinstance(mark, Meta) and mark.description), "")
    column = Column(name, kind, optional, merges[0], description)
    if problem := _problem(column):
        raise DefinitionError(f"{row}.{name}", problem)
    return column


def _taken_apart(hint: Any) -> tuple[list[Any], Any, bool]:
    """The marks of an annotation, the type inside, and whether it may be None."""
    marks: list[Any] = []
    optional = False
    while True:
        if get_origin(hint) is Annotated:
            hint, *more = get_args(hint)
            marks += more
        elif get_origin(hint) in (Union, UnionType) and NoneType in get_args(hint):
            optional = True
            rest = [part for part in get_args(hint) if part is not NoneType]
            hint = rest[0] if len(rest) == 1 else Union[tuple(rest)]  # noqa: UP007
            if len(rest) > 1:
                return marks, hint, optional
        else:
            return marks, hint, optional


def _problem(column: Column) -> str | None:
    merge = column.merge.name.capitalize()
    match column.merge:
        case Merge.SUM if column.kind not in NUMBERS:
            return "only int and Decimal can be summed: a sum of floats depends on the order. Decimal(str(x)) is exact"
        case Merge.UNITED if column.kind is not Kind.TEXTS:
            return "only list[str] can be united"
        case Merge.LEAST | Merge.GREATEST if column.kind in _UNORDERED:
            return f"{merge} is for what has an order, which {', '.join(_UNORDERED_NAMES)} have not"
        case Merge.KNOWN if not column.optional:
            return "Known is for a column that may be None"
        case Merge.SUM | Merge.LEAST | Merge.GREATEST | Merge.UNITED if column.optional:
            return f"{merge} needs a value: give it a default other than None"
    return None
