"""What a stored message says, or why it says nothing: nothing here raises."""

import msgspec
from msgspec import DecodeError, Struct

from wepeople_chassis.stream import StoredMessage
from wepeople_contracts.directory import DirectoryFact, decode_fact
from wepeople_contracts.envelope import AcceptedRow, Envelope, RejectedRow
from wepeople_contracts.envelope import decode as decode_envelope
from wepeople_contracts.rows import EventRow, SnapshotRow
from wepeople_contracts.subjects import IngestSubject, parse_ingest_subject
from wepeople_projector.memory import Sighting, Source

WHOLE_MESSAGE = -1


class Parked(Struct, frozen=True, gc=False):
    """A message, or one row of it, that cannot be applied: kept with the reason, for an operator."""

    sequence: int
    row_index: int
    subject: str
    reason: str
    data: bytes


class SeenRow(Struct, frozen=True, gc=False):
    """An accepted row, decoded, and its actor; `name` is the id of an event that its sender named."""

    accepted: AcceptedRow
    row: EventRow | SnapshotRow
    sighting: Sighting
    name: str | None


class Request(Struct, frozen=True):
    """A request of an app; `parked` are those of its rows that could not be decoded."""

    message: StoredMessage
    envelope: Envelope
    rows: list[SeenRow]
    parked: list[Parked]


class Fact(Struct, frozen=True):
    """A fact of an org's directory."""

    message: StoredMessage
    fact: DirectoryFact


Decoded = Request | Fact | Parked

_event = msgspec.json.Decoder(EventRow)
_snapshot = msgspec.json.Decoder(SnapshotRow)


def decode(message: StoredMessage) -> Decoded:
    """Decode a message; `Parked` with the reason when it is not what its subject says."""
    try:
        subject = parse_ingest_subject(message.subject)
        if subject.kind == "directory":
            return _fact(message, subject)
        return _request(message, subject)
    except DecodeError as error:
        return park(message, f"it cannot be decoded: {error}")
    except (ValueError, RecursionError) as error:
        return park(message, str(error))


def park(message: StoredMessage, reason: str) -> Parked:
    """The whole message, put aside."""
    return Parked(message.sequence, WHOLE_MESSAGE, message.subject, reason, message.data)


def park_row(message: StoredMessage, row: AcceptedRow | RejectedRow, reason: str) -> Parked:
    """One row of a message, put aside."""
    return Parked(message.sequence, row.index, message.subject, reason, row.raw)


def _fact(message: StoredMessage, subject: IngestSubject) -> Fact:
    fact = decode_fact(message.data)
    _same_org(fact.org_id, subject)
    return Fact(message, fact)


def _request(message: StoredMessage, subject: IngestSubject) -> Request:
    envelope = decode_envelope(message.data)
    if envelope.kind != subject.kind:
        raise ValueError(f"an envelope of kind {envelope.kind!r} under a subject of kind {subject.kind!r}")
    _same_org(envelope.org_id, subject)
    source: Source = (envelope.org_id, envelope.app_id, envelope.connection)
    events = envelope.kind == "events"
    decode_row = _event.decode if events else _snapshot.decode
    request = Request(message, envelope, [], [])
    for accepted in envelope.accepted:
        try:
            row = decode_row(accepted.raw)
        except (DecodeError, RecursionError) as error:
            request.parked.append(park_row(message, accepted, f"not a row: {error}"))
            continue
        actor = row.actor
        name = accepted.event_id if accepted.named and events else None
        request.rows.append(SeenRow(accepted, row, (source, actor.worker_id, actor.external_id, actor.email), name))
    return request


def _same_org(org_id: str, subject: IngestSubject) -> None:
    if org_id != subject.org_id:
        raise ValueError(f"the message is of org {org_id!r}, its subject of org {subject.org_id!r}")
