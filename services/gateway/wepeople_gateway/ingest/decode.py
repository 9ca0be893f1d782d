"""From a body's bytes to its rows' bytes: only what concerns the body as a whole is refused here.

Everything else is one row's affair. The fast decoder does not check that raw rows are UTF-8, so that is done once here;
and it refuses the whole body for one truncated emoji, so that then the rows are split another way.
"""

import re

import msgspec
from msgspec import Raw, Struct

from wepeople_contracts.rows import MAX_ROWS
from wepeople_gateway.errors import MalformedBody


class _EventsBody(Struct):
    events: list[Raw]


_events_decoder = msgspec.json.Decoder(_EventsBody)
_raw_decoder = msgspec.json.Decoder(Raw)

_MARKERS = tuple(chr(point).encode() for point in range(0x80, 0x800))
_ESCAPE = re.compile(rb"\\(?:u([0-9a-fA-F]{4})|.)", re.DOTALL)


def split_events(body: bytes) -> list[bytes]:
    """The rows of an events request, each as it was received; `MalformedBody` when there are none to find."""
    check_utf8(body)
    try:
        rows = [bytes(raw) for raw in _decode_events(body)]
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


def _decode_events(body: bytes) -> list[Raw]:
    """Decode; a body of the wrong shape is refused, one that is not JSON (`DecodeError`) may be mendable."""
    try:
        return _events_decoder.decode(body).events
    except msgspec.ValidationError as error:
        raise MalformedBody(f'The body must be {{"events": [ … ]}}: {error}.') from error
    except RecursionError as error:
        raise _malformed(error) from error


def _split_beside_surrogates(body: bytes) -> list[bytes]:
    """The rows of a body that holds lone surrogates: split with these disguised, then unveiled in each row."""
    disguised, marker = disguise_lone_surrogates(body)
    try:
        # Without a lone surrogate this fails again, and says where the JSON is wrong.
        return [bytes(raw).replace(marker, b"\\u") for raw in _decode_events(disguised)]
    except msgspec.DecodeError as error:
        raise _malformed(error) from error


def disguise_lone_surrogates(body: bytes) -> tuple[bytes, bytes]:
    """The body with the `\\u` of each lone surrogate replaced by a character of the same length that the body does not
    hold, and that character: replacing it back gives the same bytes.
    """
    marker = next((c for c in _MARKERS if c not in body), None)
    if marker is None:
        raise MalformedBody("The body is not JSON: it holds a lone surrogate, and every character of U+0080 to U+07FF.")
    disguised = bytearray(body)
    for start in lone_surrogates(body):
        disguised[start : start + 2] = marker
    return bytes(disguised), marker


def lone_surrogates(text: bytes) -> list[int]:
    """Where in JSON text an escape such as `\\ud83d` stands without its other half."""
    lone: list[int] = []
    high: re.Match[bytes] | None = None
    for match in _ESCAPE.finditer(text):
        code = int(match[1], 16) if match[1] else 0
        if 0xDC00 <= code <= 0xDFFF:  # noqa: PLR2004
            if high is not None and high.end() == match.start():
                high = None
                continue
            lone.append(match.start())
        if high is not None:
            lone.append(high.start())
            high = None
        if 0xD800 <= code <= 0xDBFF:  # noqa: PLR2004
            high = match
    if high is not None:
        lone.append(high.start())
    return sorted(lone)


def has_nul_escape(text: bytes) -> bool:
    """Whether JSON text holds `\\u0000`, which neither text nor JSONB of Postgres can."""
    return any(match[1] == b"0000" for match in _ESCAPE.finditer(text))


def _malformed(error: Exception) -> MalformedBody:
    if isinstance(error, RecursionError):
        return MalformedBody("The body is nested too deeply.")
    return MalformedBody(f"The body is not JSON: {error}.")
