"""Values in the binary format of COPY: each is its length and its bytes.

Rows are assembled by hand, because the driver's own row writer would take most of a projection's time.
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from psycopg.types.numeric import DecimalBinaryDumper

from wepeople_projections.definition.columns import Kind
from wepeople_projections.definition.taking import INSTANTS

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
NULL = b"\xff\xff\xff\xff"
EPOCH_US = 946_684_800_000_000
"""2000-01-01, where Postgres begins to count, in microseconds since 1970."""
FIRST_US, LAST_US = INSTANTS[0], INSTANTS[-1]
BOOLEANS = {True: 1, False: 0}
"""What else Python takes for true or false is no boolean: None least of all."""
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
EPOCH_DAY = EPOCH.toordinal()
MICROSECOND = timedelta(microseconds=1)

_TEXT_OID = 25
_EMPTY_ARRAY = struct.pack("!iiii", 12, 0, 0, _TEXT_OID)
_DIGITS_BEFORE_POINT, _DIGITS_AFTER_POINT = 131_072, 16_383
"""What numeric can hold."""

int16 = struct.Struct("!h").pack
int32 = struct.Struct("!i").pack
sized_int16 = struct.Struct("!ih").pack
sized_int32 = struct.Struct("!ii").pack
sized_int64 = struct.Struct("!iq").pack
sized_float64 = struct.Struct("!id").pack
sized_byte = struct.Struct("!iB").pack
_array_of_one = struct.Struct("!iiiiiii").pack
_array_head = struct.Struct("!iiiiii").pack
_dump_decimal = DecimalBinaryDumper(Decimal).dump


def text(value: str) -> bytes:
    """A text."""
    data = value.encode()
    return int32(len(data)) + data


def raw(value: bytes) -> bytes:
    """Bytes, or text that is bytes already."""
    return int32(len(value)) + value


def jsonb(value: bytes) -> bytes:
    """JSON text for a jsonb, after the format's version."""
    return sized_byte(len(value) + 1, 1) + value


def beyond(us: int) -> int:
    """Refuses an instant that Postgres has, but no `datetime`: most who read it could not."""
    raise ValueError(f"{us} is no microsecond of the years 1 to 9999")


def instant(us: int) -> bytes:
    """A timestamptz, from microseconds since 1970."""
    return sized_int64(8, (us if FIRST_US <= us <= LAST_US else beyond(us)) - EPOCH_US)


def text_array(values: Sequence[str]) -> bytes:
    """A text[] of one dimension; `TypeError` for a text, which is a sequence of texts too."""
    if isinstance(values, str):
        raise TypeError("a text is no list of texts")
    if len(values) == 0:
        return _EMPTY_ARRAY
    if len(values) == 1:
        # What most arrays have, in half the time.
        data = values[0].encode()
        return _array_of_one(24 + len(data), 1, 0, _TEXT_OID, 1, 1, len(data)) + data
    elements = b"".join(map(text, values))
    return _array_head(20 + len(elements), 1, 0, _TEXT_OID, len(values), 1) + elements


def numeric(value: Decimal) -> bytes:
    """A numeric; `ValueError` for what none can hold, before anybody writes out all its digits."""
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int):
        raise ValueError("numeric holds numbers only")
    if value.adjusted() >= _DIGITS_BEFORE_POINT or exponent < -_DIGITS_AFTER_POINT:
        raise ValueError("numeric has too few digits for it")
    data = bytes(_dump_decimal(value) or b"")
    return int32(len(data)) + data


ENCODERS: Mapping[Kind, Callable[[Any], bytes]] = {
    Kind.TEXT: text,
    Kind.RAW_TEXT: raw,
    Kind.TEXTS: text_array,
    Kind.INTEGER: lambda value: sized_int64(8, value),
    Kind.SMALL_INTEGER: lambda value: sized_int16(2, value),
    Kind.DECIMAL: numeric,
    Kind.FLOAT: lambda value: sized_float64(8, value),
    Kind.BOOLEAN: lambda value: sized_byte(1, BOOLEANS[value]),
    Kind.DATE: lambda value: sized_int32(4, day(value)),
    Kind.DATETIME: lambda value: sized_int64(8, (value - EPOCH) // MICROSECOND),
    Kind.INSTANT: instant,
    Kind.BYTES: raw,
    Kind.JSON: raw,
    Kind.JSONB: jsonb,
}
"""How one value of each kind is written."""


def day(value: date) -> int:
    """A date as Postgres counts it; `TypeError` for a datetime, whose time would be lost."""
    if isinstance(value, datetime):
        raise TypeError("a datetime is no date")
    return value.toordinal() - EPOCH_DAY
