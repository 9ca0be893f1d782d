"""What a test can say was stored."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from wepeople_contracts.directory import DirectoryFact
from wepeople_contracts.rows import EventRow, SnapshotRow, is_event_type, is_slug

Moment = str | datetime
"""A time with its zone, such as 2026-04-01T09:00Z."""
SOMEBODY: Mapping[str, str] = {"externalId": "somebody"}
"""Whom a row is about when the test does not say."""

DEFAULT_ORG = "acme"
DEFAULT_APP = "ci"


@dataclass(frozen=True, slots=True)
class Founding:
    """An org is founded."""

    org: str
    name: str
    received: datetime | None


@dataclass(frozen=True, slots=True)
class Import:
    """People of an org's directory, each by email and name."""

    org: str
    people: tuple[tuple[str, str], ...]
    received: datetime | None


@dataclass(frozen=True, slots=True)
class Directory:
    """Any fact, as the contract has it."""

    body: DirectoryFact


@dataclass(frozen=True, slots=True)
class SentRow:
    """A row as an app sends it; `reason` says why it was refused, if it was; `name` is its sender's id of it."""

    raw: bytes
    name: str | None = None
    reason: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Sent:
    """A request of an app."""

    org: str
    app: str
    kind: Literal["events", "snapshot"]
    rows: tuple[SentRow, ...]
    received: datetime | None


Item = Founding | Import | Directory | Sent
"""What was stored, one message."""


def org(org_id: str = DEFAULT_ORG, *, name: str = "", at: Moment | None = None) -> Item:
    """The org is founded here. Without it, every org that something is said of was founded before all else."""
    return Founding(org_id, name or org_id.capitalize(), _moment(at))


def event(
    event_type: str,
    *,
    actor: Mapping[str, str] = SOMEBODY,
    metadata: Mapping[str, Any] | None = None,
    at: Moment | None = None,
    received: Moment | None = None,
    duration: float | None = None,
    category: str = "code",
    id: str | None = None,
    org: str = DEFAULT_ORG,
    app: str = DEFAULT_APP,
) -> Sent:
    """An event that was accepted, in a request of its own.

    `at` is its timestamp, and when it was received unless `received` says otherwise; `id` is its sender's name for it,
    `actor` as it is sent: `workerId`, `externalId`, `email`. `ValueError` for what the gateway would not accept.
    """
    if not (is_event_type(event_type) and is_slug(category)):
        raise ValueError(f"{event_type!r} ({category!r}) is no event type (category) that is accepted: see the guide")
    happened = _moment(at)
    row = _without_none(
        eventType=event_type,
        category=category,
        actor=dict(actor),
        timestamp=happened,
        duration=duration,
        metadata=metadata,
        id=id,
    )
    sent = SentRow(_checked(row, EventRow), id)
    return Sent(org, app, "events", (sent,), _moment(received) or happened)


def snapshot(
    snapshot_type: str,
    metrics: Mapping[str, Any],
    *,
    actor: Mapping[str, str] = SOMEBODY,
    at: Moment | None = None,
    received: Moment | None = None,
    org: str = DEFAULT_ORG,
    app: str = DEFAULT_APP,
) -> Sent:
    """A snapshot that was accepted; `at` as for an event."""
    happened = _moment(at)
    row = _without_none(snapshotType=snapshot_type, actor=dict(actor), metrics=metrics, timestamp=happened)
    return Sent(org, app, "snapshot", (SentRow(_checked(row, SnapshotRow)),), _moment(received) or happened)


def rejected(
    raw: bytes = b"{}",
    *,
    code: str = "invalid_body",
    message: str = "Mend it.",
    received: Moment | None = None,
    org: str = DEFAULT_ORG,
    app: str = DEFAULT_APP,
) -> Sent:
    """A row that was refused, in a request of its own."""
    return Sent(org, app, "events", (SentRow(raw, None, (code, message)),), _moment(received))


def request(*parts: Sent, received: Moment | None = None) -> Sent:
    """Events and rejected rows, sent as one request: by the app of the first, received when the last was."""
    if not parts or any(
        part.kind != "events" or (part.org, part.app) != (parts[0].org, parts[0].app) for part in parts
    ):
        raise ValueError("a request has events and rejected rows of one app")
    times = [part.received for part in parts if part.received is not None]
    rows = tuple(row for part in parts for row in part.rows)
    return Sent(parts[0].org, parts[0].app, "events", rows, _moment(received) or max(times, default=None))


def imported(*people: tuple[str, str], org: str = DEFAULT_ORG, at: Moment | None = None) -> Item:
    """A directory import of (email, name)."""
    return Import(org, people, _moment(at))


def fact(body: DirectoryFact) -> Item:
    """Any fact of the directory, as the contract has it."""
    return Directory(body)


def _moment(moment: Moment | None) -> datetime | None:
    if moment is None:
        return None
    found = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    if found.tzinfo is None:
        raise ValueError(f"{moment} has no time zone: write 2026-04-01T09:00Z")
    return found.astimezone(UTC)


def _without_none(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _checked(row: dict[str, Any], kind: type[EventRow | SnapshotRow]) -> bytes:
    raw = msgspec.json.encode(row)
    actor = msgspec.json.decode(raw, type=kind).actor
    if unknown := row["actor"].keys() - {"workerId", "externalId", "email"}:
        raise ValueError(f"an actor has workerId, externalId and email, and no {', '.join(sorted(unknown))}")
    if actor == type(actor)():
        raise ValueError("an actor has at least one of workerId, externalId and email")
    return raw
