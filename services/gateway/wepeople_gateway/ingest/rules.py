"""The rules of a row that its type cannot say, each a pure function to the error or None.

Those that would cost a second parse run only where a scan of the bytes finds something suspicious (design §3, Events).
"""

import re
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec
from msgspec import UNSET, Raw

from wepeople_contracts.errors import RowError
from wepeople_contracts.rows import MAX_METADATA_BYTES, MAX_METRICS, MAX_METRICS_BYTES, Actor, Metric, is_event_type
from wepeople_gateway.ingest.decode import has_nul_escape

MAX_FUTURE = timedelta(hours=1)
MAX_DEPTH = 32
MAX_DIGITS = 400
MAX_EXPONENT = 400
FIRST_TIMESTAMP = datetime(1, 1, 2, tzinfo=UTC)
"""Any earlier one may fall before year 1 once its offset is applied."""

_JUNK = frozenset({"", "null", "undefined"})

_metrics_decoder = msgspec.json.Decoder(dict[str, Raw])
_metric_decoder: msgspec.json.Decoder[Metric] = msgspec.json.Decoder(Metric)

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_NUMBER = re.compile(rb"-?(\d+)(?:\.(\d+))?(?:[eE][+-]?(\d+))?")
_TO_ZERO = bytes(ord("0") if chr(c) in "123456789" else ord("e") if c == ord("E") else c for c in range(256))


class Suspicions(NamedTuple):
    """What a scan over many rows' bytes at once could not rule out, so that each of them must be looked at."""

    numbers: bool
    nul: bool


SUSPECT_ALL = Suspicions(numbers=True, nul=True)


def scan(body: bytes) -> Suspicions:
    """What the rows of a body must be looked at for."""
    return Suspicions(numbers=_may_hold_bad_number(body), nul=b"\\u0000" in body)


def event_type_error(event_type: str) -> RowError:
    """Why an event type that is not on the whitelist is refused."""
    if not is_event_type(event_type):
        return broken_rule("eventType")
    message = f"eventType '{event_type}' is not in this app's whitelist; an operator can allow it for the app."
    return RowError("forbidden_event_type", message, "eventType")


def actor_error(actor: Actor) -> RowError | None:
    """Somebody must be named, and no junk beside it: a sender's `String(undefined)` would gather strangers."""
    worker_id, external_id, email = actor.worker_id, actor.external_id, actor.email
    if external_id is not UNSET and _is_junk(external_id):
        return _junk("actor.externalId", external_id)
    if worker_id is not UNSET and _is_junk(worker_id):
        return _junk("actor.workerId", worker_id)
    if email is not UNSET:
        if _is_junk(email):
            return _junk("actor.email", email)
        if not 0 < email.find("@") < len(email.strip()) - 1:
            return invalid("actor.email is not an email address.", "actor.email")
    elif external_id is UNSET and worker_id is UNSET:
        return invalid("actor names nobody; send at least one of workerId, externalId and email.", "actor")
    return None


def _is_junk(identifier: str) -> bool:
    return identifier.strip().lower() in _JUNK


def _junk(field: str, value: str) -> RowError:
    return invalid(f"{field} is {value!r}, which identifies nobody; leave it out or send a real id.", field)


def client_id_error(client_id: str) -> RowError | None:
    """Printable, and no junk: a sender's `String(undefined)` would make one event of many."""
    if not client_id.isprintable() or _is_junk(client_id):
        return invalid(f"id is {client_id!r}, which names no event; leave it out or send your own id of it.", "id")
    return None


def timestamp_error(timestamp: datetime, latest: datetime) -> RowError | None:
    """At most an hour ahead of the time of receipt, and representable."""
    if timestamp > latest:
        message = "timestamp is more than an hour ahead of the time of receipt; check the sender's clock and offset."
        return invalid(message, "timestamp")
    if timestamp < FIRST_TIMESTAMP:
        return invalid("timestamp is before the year 1.", "timestamp")
    return None


def metadata_error(metadata: bytes, suspicions: Suspicions) -> RowError | None:
    """An object within the limits of size, depth and numbers."""
    if not metadata.startswith(b"{"):
        return invalid("metadata is not a JSON object; leave it out or send an object.", "metadata")
    if len(metadata) > MAX_METADATA_BYTES:
        message = f"metadata is {len(metadata)} bytes as received; at most {MAX_METADATA_BYTES} are taken."
        return invalid(message, "metadata")
    if metadata.count(b"{") + metadata.count(b"[") > MAX_DEPTH and _depth(metadata) > MAX_DEPTH:
        return invalid(f"metadata is nested deeper than {MAX_DEPTH} levels; flatten it.", "metadata")
    return _number_error(metadata, "metadata") if suspicions.numbers else None


def _depth(text: bytes) -> int:
    depth = deepest = 0
    for char in _STRING.sub(b"", text):
        if char in b"{[":
            depth += 1
            deepest = max(deepest, depth)
        elif char in b"}]":
            depth -= 1
    return deepest


def _may_hold_bad_number(text: bytes) -> bool:
    """Whether the bytes could spell a number of too many digits, or with an exponent of three digits or more."""
    zeros = text.translate(_TO_ZERO, b"+-.")
    return b"0e000" in zeros or (len(zeros) > MAX_DIGITS and b"0" * (MAX_DIGITS + 1) in zeros)


def _number_error(text: bytes, field: str) -> RowError | None:
    """Numbers that JSONB cannot hold, or only at great cost."""
    if not _may_hold_bad_number(text):
        return None
    for match in _NUMBER.finditer(_STRING.sub(b"", text)):
        whole, fraction, exponent = match.groups(b"")
        if len(whole) + len(fraction) > MAX_DIGITS or (exponent and _exceeds(exponent)):
            message = (
                f"{field} holds a number of more than {MAX_DIGITS} digits or with an exponent beyond {MAX_EXPONENT}; "
            )
            return invalid(message + "send it as a string.", field)
    return None


def _exceeds(exponent: bytes) -> bool:
    digits = exponent.lstrip(b"0")
    return len(digits) > len(str(MAX_EXPONENT)) or int(digits or b"0") > MAX_EXPONENT


def text_error(raw: bytes) -> RowError | None:
    """No NUL anywhere in the row."""
    if b"\\u0000" in raw and has_nul_escape(raw):
        return invalid("The row holds the character NUL (\\u0000), which cannot be stored; remove it.", None)
    return None


def metrics_error(metrics: bytes) -> RowError | None:
    """1 to 32 metrics, each of one of the three forms."""
    if len(metrics) > MAX_METRICS_BYTES:
        return invalid(
            f"metrics is {len(metrics)} bytes as received; at most {MAX_METRICS_BYTES} are taken.", "metrics"
        )
    try:
        named = _metrics_decoder.decode(metrics)
    except msgspec.DecodeError as error:
        return undecodable(error, "metrics")
    if not 1 <= len(named) <= MAX_METRICS:
        return invalid(f"metrics holds {len(named)} entries; send 1 to {MAX_METRICS}.", "metrics")
    for name, raw in named.items():
        try:
            _metric_decoder.decode(raw)
        except msgspec.DecodeError:
            rule = "a number, a string of at most 120 characters, or {value, unit?, label?}"
            return invalid(f"metrics.{name} must be {rule}.", f"metrics.{name}")
    return _number_error(metrics, "metrics")


def undecodable(error: Exception, field: str = "") -> RowError:
    """A decoder's complaint, in words for the sender: which field, which rule."""
    if isinstance(error, RecursionError):
        return invalid("The row is nested too deeply; flatten it.", None)
    if not isinstance(error, msgspec.ValidationError):
        # The body was split with surrogates disguised, so nothing else about the row's JSON can be wrong.
        return invalid("The row holds half a surrogate pair, such as a truncated emoji; send whole characters.", None)
    text, _, path = str(error).partition(" - at `$")
    field = field + path.rstrip("`").lstrip(".")
    if missing := re.search(r"missing required field `(\w+)`", text):
        field = f"{field}.{missing[1]}" if field else missing[1]
        return invalid(f"{field} is missing.", field)
    if field in _RULES:
        return broken_rule(field)
    return invalid(f"{field or 'The row'}: {text}.", field or None)


def broken_rule(field: str) -> RowError:
    """A field that does not have the form it must have."""
    return invalid(f"{field} must be {_RULES[field]}.", field)


_RULES = {
    "eventType": "1 to 128 characters of a-z, 0-9, '.', '_' and '-'",
    "id": "a string of 1 to 128 printable characters",
    "category": "a slug: 1 to 64 characters of a-z, 0-9, '_' and '-', a letter or digit first",
    "snapshotType": "a slug: 1 to 64 characters of a-z, 0-9, '_' and '-', a letter or digit first",
    "timestamp": "RFC 3339 with an offset, such as 2026-04-19T12:05:00Z",
    "duration": "a finite number of seconds, 0 or more",
    "actor.workerId": "a string of at most 64 characters",
    "actor.externalId": "a string of at most 256 characters",
    "actor.email": "an email address of at most 320 characters",
    "actor": "an object with at least one of workerId, externalId and email",
    "metrics": "an object of numbers, strings of at most 120 characters, or {value, unit?, label?}",
}


def invalid(message: str, field: str | None) -> RowError:
    """A row that breaks a rule."""
    return RowError("invalid_body", message, field)
