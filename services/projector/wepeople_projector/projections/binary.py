"""Values in the binary format of COPY: each is its length and its bytes.

Rows are assembled by hand, because the driver's own row writer would take most of the projector's time.
"""

import struct
from collections.abc import Sequence
from functools import lru_cache

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
NULL = b"\xff\xff\xff\xff"
EPOCH_US = 946_684_800_000_000
"""2000-01-01, where Postgres begins to count, in microseconds since 1970."""

_TEXT_OID = 25
_EMPTY_ARRAY = struct.pack("!iiii", 12, 0, 0, _TEXT_OID)

int16 = struct.Struct("!h").pack
int32 = struct.Struct("!i").pack
sized_int32 = struct.Struct("!ii").pack
sized_int64 = struct.Struct("!iq").pack
sized_float64 = struct.Struct("!id").pack
sized_bool = struct.Struct("!i?").pack
_array_head = struct.Struct("!iiiiii").pack


def text(value: str) -> bytes:
    """A text."""
    data = value.encode()
    return int32(len(data)) + data


common_text = lru_cache(maxsize=1024)(text)
"""A text of which there are few: an event type, an org."""


def instant(us: int) -> bytes:
    """A timestamptz, from microseconds since 1970."""
    return sized_int64(8, us - EPOCH_US)


def text_array(values: Sequence[str]) -> bytes:
    """A text[] of one dimension."""
    if not values:
        return _EMPTY_ARRAY
    elements = b"".join(map(text, values))
    return _array_head(20 + len(elements), 1, 0, _TEXT_OID, len(values), 1) + elements
