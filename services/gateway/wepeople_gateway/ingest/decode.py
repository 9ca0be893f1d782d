"""From a body's bytes to its rows' bytes: only what concerns the body as a whole is refused here.

Everything else is one row's affair. The fast decoder does not check that raw rows are UTF-8, so that is done once here;
and it refuses the whole body for one truncated emoji, so that then the rows are split another way.
"""

import re

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType, defstruct
from msgspec.structs import astuple

from wepeople_contracts.rows import MAX_ROWS
from wepeople_gateway.errors import MalformedBody


class _EventsBody(Struct):
    events: list[Raw]


_Rows = defstruct(
    "_Rows",
    [(f"row_{number}", Raw | UnsetType, UNSET) for number in range(MAX_ROWS)],
    array_like=True,
    forbid_unknown_fields=True,
)
"""At most that many rows: its decoder stops at the first one more, where a list's goes on to the end."""


class _LargeEventsBody(Struct):
    events: _Rows  # type: ignore[valid-type]


_LARGE_BODY_BYTES = 64 * 1024
"""From here on the rows of a body are counted while they are decoded: 9 MiB could hold 4.7 million of them."""

_events_decoder = msgspec.json.Decoder(_EventsBody)
_large_events_decoder = msgspec.json.Decoder(_LargeEventsBody)
_raw_decoder = msgspec.json.Decoder(Raw)

_MARKERS = tuple(chr(point).encode() for point in range(0x80, 0x800))
_BACKSLASH = b"\\\\"
_LONE_HIGH = re.compile(rb"\\u(?=[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2}))")
_LONE_LOW = re.compile(rb"(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u(?=[dD][c-fC-F][0-9a-fA-F]{2})")


def split_events(body: bytes) -> list[bytes]:
    """The rows of an events request, each as it was received; `MalformedBody` when there are none to find."""
    check_utf8(body)
    try:
        rows = _decode_events(body)
    except msgspec.DecodeError:
        rows = _split_beside_surrogates(body)
    if not 1 <= len(rows) <= MAX_ROWS:
        raise MalformedBody(f"`events` holds {len(rows)} rows; send 1 to {MAX_ROWS}.")
    return rows


def check_snapshot(body: bytes) -> bytes:
    """The snapshot's one row, which is the body itself; `MalformedBody` when it is not a JSON object."""
    check_utf8(body)
    try:
        raw = bytes(_raw_decoder.decode(disguise_lone_surrogates(body)[0]))
    except (msgspec.DecodeError, RecursionError) as error:
        raise _malformed(error) from error
    if not raw.startswith(b"{"):
        raise MalformedBody('The body is not a JSON object; send {"snapshotType": …, "actor": …, "metrics": …}.')
    return body.strip(b" \t\r\n")


def check_utf8(body: bytes) -> None:
    """`MalformedBody` unless the bytes are UTF-8 throughout."""
    if body.isascii():
        return
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise MalformedBody(f"The body is not UTF-8: byte {error.start} is wrong.") from error


def _decode_events(body: bytes) -> list[bytes]:
    """Decode; a body of the wrong shape is refused, one that is not JSON (`DecodeError`) may be mendable."""
    try:
        if len(body) < _LARGE_BODY_BYTES:
            return [bytes(raw) for raw in _events_decoder.decode(body).events]
        return [bytes(raw) for raw in astuple(_large_events_decoder.decode(body).events) if raw is not UNSET]
    except msgspec.ValidationError as error:
        if "at most length" in str(error):
            raise MalformedBody(f"`events` holds more than {MAX_ROWS} rows; send 1 to {MAX_ROWS}.") from error
        raise MalformedBody(f'The body must be {{"events": [ … ]}}: {error}.') from error
    except RecursionError as error:
        raise _malformed(error) from error


def _split_beside_surrogates(body: bytes) -> list[bytes]:
    """The rows of a body that holds lone surrogates: split with these disguised, then unveiled in each row."""
    disguised, marker = disguise_lone_surrogates(body)
    try:
        # Without a lone surrogate this fails again, and says where the JSON is wrong.
        return [raw.replace(marker, b"\\u") for raw in _decode_events(disguised)]
    except msgspec.DecodeError as error:
        raise _malformed(error) from error


def disguise_lone_surrogates(body: bytes) -> tuple[bytes, bytes]:
    """The body with the `\\u` of each lone surrogate replaced by a character of the same length that the body does not
    hold, and that character: replacing it back gives the same bytes.

    Looks at nothing but lone surrogates one by one: walking over every escape took a second for 9 MiB of them.
    """
    free = (character for character in _MARKERS if character not in body)
    marker, backslash = next(free, None), next(free, None)
    if marker is None or backslash is None:
        raise MalformedBody("The body is not JSON: it holds a lone surrogate, and every character of U+0080 to U+07FF.")
    # With the escaped backslashes out of the way, each one left begins an escape.
    disguised = bytearray(body.replace(_BACKSLASH, backslash))
    for lone in (_LONE_HIGH, _LONE_LOW):
        for match in lone.finditer(bytes(disguised)):
            disguised[match.start() : match.end()] = marker
    return bytes(disguised.replace(backslash, _BACKSLASH)), marker


def has_nul_escape(text: bytes) -> bool:
    """Whether JSON text holds `\\u0000`, which neither text nor JSONB of Postgres can."""
    return b"\\u0000" in text.replace(_BACKSLASH, b"--")


def _malformed(error: Exception) -> MalformedBody:
    if isinstance(error, RecursionError):
        return MalformedBody("The body is nested too deeply.")
    return MalformedBody(f"The body is not JSON: {error}.")
