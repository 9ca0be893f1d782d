"""Judging rows: pure functions from bytes to accepted or refused, one row at a time.

A type that checks itself (contracts `rows.py`) does most of it; the rest are the functions of `rules.py`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
from msgspec import UNSET, Struct

from wepeople_contracts.errors import RowError
from wepeople_contracts.rows import EventRow, SnapshotRow, is_slug
from wepeople_gateway.ingest.rules import (
    MAX_FUTURE,
    SUSPECT_ALL,
    Suspicions,
    actor_error,
    broken_rule,
    client_id_error,
    event_type_error,
    metadata_error,
    metrics_error,
    text_error,
    timestamp_error,
    undecodable,
)

_event_decoder = msgspec.json.Decoder(EventRow)
_snapshot_decoder = msgspec.json.Decoder(SnapshotRow)


class Good(Struct, frozen=True, gc=False):
    """A row that breaks no rule, and the id that its sender gave it, if any."""

    index: int
    raw: bytes
    client_id: str | None


class Bad(Struct, frozen=True, gc=False):
    """A row that breaks a rule."""

    index: int
    raw: bytes
    error: RowError


@dataclass(frozen=True, slots=True)
class Judged:
    """The rows of a request, taken apart: each index is in exactly one of the two."""

    accepted: list[Good]
    rejected: list[Bad]


def judge_events(
    rows: Sequence[bytes], *, allowed: frozenset[str], now: datetime, suspicions: Suspicions = SUSPECT_ALL
) -> Judged:
    """Judge each row of an events request alone; `allowed` is the app's whitelist, `now` the time of receipt, and
    `suspicions` what one scan over the whole body has found.
    """
    latest = now + MAX_FUTURE
    judged = Judged([], [])
    for index, raw in enumerate(rows):
        verdict = judge_event(raw, allowed, latest, suspicions)
        if isinstance(verdict, RowError):
            judged.rejected.append(Bad(index, raw, verdict))
        else:
            judged.accepted.append(Good(index, raw, None if verdict.id is UNSET else verdict.id))
    return judged


def judge_event(raw: bytes, allowed: frozenset[str], latest: datetime, suspicions: Suspicions) -> EventRow | RowError:
    """The row, or why it is refused."""
    try:
        row = _event_decoder.decode(raw)
    except (msgspec.DecodeError, RecursionError) as error:
        return undecodable(error)
    if row.event_type not in allowed:
        return event_type_error(row.event_type)
    metadata = b"" if row.metadata is UNSET else bytes(row.metadata)
    return (
        (None if is_slug(row.category) else broken_rule("category"))
        or actor_error(row.actor)
        or (row.timestamp is not UNSET and timestamp_error(row.timestamp, latest))
        or (metadata and metadata_error(metadata, suspicions))
        or (row.id is not UNSET and client_id_error(row.id))
        or (suspicions.nul and text_error(raw))
        or row
    )


def judge_snapshot(raw: bytes, *, now: datetime) -> Judged:
    """Judge a snapshot request, whose one row is the whole body."""
    error = _snapshot_error(raw, now + MAX_FUTURE)
    return Judged([Good(0, raw, None)], []) if error is None else Judged([], [Bad(0, raw, error)])


def _snapshot_error(raw: bytes, latest: datetime) -> RowError | None:
    try:
        row = _snapshot_decoder.decode(raw)
    except (msgspec.DecodeError, RecursionError) as error:
        return undecodable(error)
    if not is_slug(row.snapshot_type):
        return broken_rule("snapshotType")
    return (
        actor_error(row.actor)
        or (row.timestamp is not UNSET and timestamp_error(row.timestamp, latest))
        or metrics_error(bytes(row.metrics))
        or text_error(raw)
    )


def shared_error(errors: Iterable[RowError]) -> RowError:
    """The error of a request none of whose rows was accepted: what they all have in common, or the first's message."""
    found = list(errors)
    forbidden = all(error.code == "forbidden_event_type" for error in found)
    first = found[0]
    if len(found) == 1:
        return first
    message = f"None of the {len(found)} rows was accepted; the first: {first.message}"
    return RowError("forbidden_event_type" if forbidden else "invalid_body", message, first.field)
