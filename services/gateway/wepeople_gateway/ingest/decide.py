"""Judging rows: pure functions from bytes to accepted or refused, one row at a time.

A type that checks itself (contracts `rows.py`) does most of it. Rules that would cost a second parse of each row run
only where a scan of its bytes finds something suspicious (design §3, Events).
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec
from msgspec import UNSET

from wepeople_contracts.errors import RowError
from wepeople_contracts.rows import (
    MAX_METADATA_BYTES,
    MAX_METRICS,
    Actor,
    EventRow,
    Metric,
    SnapshotRow,
    Timestamp,
)
from wepeople_gateway.ingest.decode import has_nul_escape

MAX_FUTURE = timedelta(hours=1)
MAX_DEPTH = 32
MAX_DIGITS = 400
MAX_EXPONENT = 400
FIRST_TIMESTAMP = datetime(1, 1, 2, tzinfo=UTC)
"""Any earlier one may fall before year 1 once its offset is applied."""

_JUNK = frozenset({"", "null", "undefined"})

_event_decoder = msgspec.json.Decoder(EventRow)
_snapshot_decoder = msgspec.json.Decoder(SnapshotRow)
_metrics_decoder = msgspec.json.Decoder(dict[str, Metric])

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_NUMBER = re.compile(rb"-?(\d+)(?:\.(\d+))?(?:[eE][+-]?(\d+))?")
_TO_ZERO = bytes(ord("0") if chr(c) in "123456789" else ord("e") if c == ord("E") else c for c in range(256))


@dataclass(frozen=True, slots=True)
class Judged:
    """The rows of a request, taken apart: each index is in exactly one of the two."""

    accepted: list[tuple[int, bytes]]
    rejected: list[tuple[int, bytes, RowError]]


def judge_events(rows: Sequence[bytes], *, allowed: frozenset[str], now: datetime) -> Judged:
    """Judge each row of an events request alone; `allowed` is the app's whitelist, `now` the time of receipt."""
    latest = now + MAX_FUTURE
    judged = Judged([], [])
    for index, raw in enumerate(rows):
        error = judge_event(raw, allowed, latest)
        if error is None:
            judged.accepted.append((index, raw))
        else:
            judged.rejected.append((index, raw, error))
    return judged


def judge_event(raw: bytes, allowed: frozenset[str], latest: datetime) -> RowError | None:
    """Why this row is refused, or None."""
    try:
        row = _event_decoder.decode(raw)
    except (msgspec.DecodeError, RecursionError) as error:
        return _undecodable(error)
    if row.event_type not in allowed:
        message = f"eventType '{row.event_type}' is not in this app's whitelist; an operator can allow it for the app."
        return RowError("forbidden_event_type", message, "eventType")
    if (fault := _actor_error(row.actor) or _timestamp_error(row.timestamp, latest)) is not None:
        return fault
    if row.metadata is not UNSET and (fault := _metadata_error(bytes(row.metadata))) is not None:
        return fault
    return _text_error(raw)


def judge_snapshot(raw: bytes, *, now: datetime) -> Judged:
    """Judge a snapshot request, whose one row is the whole body."""
    error = _snapshot_error(raw, now + MAX_FUTURE)
    return Judged([(0, raw)], []) if error is None else Judged([], [(0, raw, error)])


def _snapshot_error(raw: bytes, latest: datetime) -> RowError | None:
    try:
        row = _snapshot_decoder.decode(raw)
    except (msgspec.DecodeError, RecursionError) as error:
        return _undecodable(error)
    return (
        _actor_error(row.actor)
        or _timestamp_error(row.timestamp, latest)
        or _metrics_error(bytes(row.metrics))
        or _text_error(raw)
    )


def _metrics_error(metrics: bytes) -> RowError | None:
    try:
        count = len(_metrics_decoder.decode(metrics))
    except msgspec.DecodeError as error:
        return _undecodable(error, "metrics")
    if not 1 <= count <= MAX_METRICS:
        return _invalid(f"metrics holds {count} entries; send 1 to {MAX_METRICS}.", "metrics")
    return _number_error(metrics, "metrics")


def _actor_error(actor: Actor) -> RowError | None:
    identifiers = (
        ("actor.workerId", actor.worker_id),
        ("actor.externalId", actor.external_id),
        ("actor.email", actor.email),
    )
    named = 0
    for field, value in identifiers:
        if value is UNSET:
            continue
        named += 1
        if str(value).strip().lower() in _JUNK:
            return _invalid(f"{field} is {value!r}, which identifies nobody; leave it out or send a real id.", field)
    if not named:
        return _invalid("actor names nobody; send at least one of workerId, externalId and email.", "actor")
    if actor.email is not UNSET and not 0 < actor.email.find("@") < len(actor.email.strip()) - 1:
        return _invalid("actor.email is not an email address.", "actor.email")
    return None


def _timestamp_error(timestamp: Timestamp | msgspec.UnsetType, latest: datetime) -> RowError | None:
    if timestamp is UNSET:
        return None
    if timestamp > latest:
        message = "timestamp is more than an hour ahead of the time of receipt; check the sender's clock and offset."
        return _invalid(message, "timestamp")
    if timestamp < FIRST_TIMESTAMP:
        return _invalid("timestamp is before the year 1.", "timestamp")
    return None


def _metadata_error(metadata: bytes) -> RowError | None:
    if not metadata.startswith(b"{"):
        return _invalid("metadata is not a JSON object; leave it out or send an object.", "metadata")
    if len(metadata) > MAX_METADATA_BYTES:
        message = f"metadata is {len(metadata)} bytes as received; at most {MAX_METADATA_BYTES} are taken."
        return _invalid(message, "metadata")
    if metadata.count(b"{") + metadata.count(b"[") > MAX_DEPTH and _depth(metadata) > MAX_DEPTH:
        return _invalid(f"metadata is nested deeper than {MAX_DEPTH} levels; flatten it.", "metadata")
    return _number_error(metadata, "metadata")


def _depth(text: bytes) -> int:
    depth = deepest = 0
    for char in _STRING.sub(b"", text):
        if char in b"{[":
            depth += 1
            deepest = max(deepest, depth)
        elif char in b"}]":
            depth -= 1
    return deepest


def _number_error(text: bytes, field: str) -> RowError | None:
    """Numbers that JSONB cannot hold, or only at great cost; looked for only where the bytes could spell one."""
    zeros = text.translate(_TO_ZERO, b"+-.")
    if b"0e000" not in zeros and b"0" * (MAX_DIGITS + 1) not in zeros:
        return None
    for match in _NUMBER.finditer(_STRING.sub(b"", text)):
        whole, fraction, exponent = match.groups(b"")
        if len(whole) + len(fraction) > MAX_DIGITS or (exponent and _exceeds(exponent)):
            message = (
                f"{field} holds a number of more than {MAX_DIGITS} digits or with an exponent beyond {MAX_EXPONENT}; "
            )
            return _invalid(message + "send it as a string.", field)
    return None


def _exceeds(exponent: bytes) -> bool:
    digits = exponent.lstrip(b"0")
    return len(digits) > len(str(MAX_EXPONENT)) or int(digits or b"0") > MAX_EXPONENT


def _text_error(raw: bytes) -> RowError | None:
    if b"\\u0000" in raw and has_nul_escape(raw):
        return _invalid("The row holds the character NUL (\\u0000), which cannot be stored; remove it.", None)
    return None


def _undecodable(error: Exception, prefix: str = "") -> RowError:
    """A decoder's complaint, in words for the sender: which field, which rule."""
    if isinstance(error, RecursionError):
        return _invalid("The row is nested too deeply; flatten it.", None)
    text, _, path = str(error).partition(" - at `$")
    path = ".".join(filter(None, (prefix, path.rstrip("`").lstrip("."))))
    if "surrogate" in text or "hex escape" in text:
        return _invalid(
            "The row holds half of a surrogate pair, such as a truncated emoji; send whole characters.", None
        )
    if missing := re.search(r"missing required field `(\w+)`", text):
        path = ".".join(filter(None, (path, missing[1])))
        return _invalid(f"{path} is missing.", path)
    rule = _RULES.get(path)
    return _invalid(f"{path or 'The row'}: {text}{'; it must be ' + rule if rule else ''}.", path or None)


_RULES = {
    "eventType": "1 to 128 characters of a-z, 0-9, '.', '_' and '-'",
    "category": "a slug: 1 to 64 characters of a-z, 0-9, '_' and '-', a letter or digit first",
    "snapshotType": "a slug: 1 to 64 characters of a-z, 0-9, '_' and '-', a letter or digit first",
    "timestamp": "RFC 3339 with an offset, such as 2026-04-19T12:05:00Z",
    "duration": "a finite number of seconds, 0 or more",
    "actor": "an object with at least one of workerId, externalId and email",
    "metrics": "an object of numbers, strings of at most 120 characters, or {value, unit?, label?}",
}


def _invalid(message: str, field: str | None) -> RowError:
    return RowError("invalid_body", message, field)


def shared_error(errors: Iterable[RowError]) -> RowError:
    """The error of a request none of whose rows was accepted: what they all have in common, or the first's message."""
    found = list(errors)
    forbidden = all(error.code == "forbidden_event_type" for error in found)
    first = found[0]
    if len(found) == 1:
        return first
    message = f"None of the {len(found)} rows was accepted; the first: {first.message}"
    return RowError("forbidden_event_type" if forbidden else "invalid_body", message, first.field)
