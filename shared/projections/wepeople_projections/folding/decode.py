"""What a stored message says, or why it says nothing: nothing here raises."""

from typing import Any

import msgspec
from msgspec import DecodeError, Struct

from wepeople_chassis.stream import StoredMessage
from wepeople_contracts.directory import decode_fact
from wepeople_contracts.envelope import AcceptedRow, Envelope, EnvelopeOutline, RejectedRow, decode_outline
from wepeople_contracts.envelope import decode as decode_envelope
from wepeople_contracts.rows import EventRow, SnapshotRow
from wepeople_contracts.subjects import NO_APP, IngestSubject, parse_ingest_subject
from wepeople_projections.definition.items import Fact, Request
from wepeople_projections.definition.projection import Definition
from wepeople_projections.folding.memory import Source
from wepeople_projections.folding.parked import WHOLE_MESSAGE, Parked


class StoredRequest(Struct, frozen=True):
    """A request. `rows` are those of `accepted`, one by one; `faults` are the accepted rows that cannot be decoded, and
    why. There are none of all three where neither a handler nor identity needs them.
    """

    message: StoredMessage
    request: Request
    source: Source
    accepted: list[AcceptedRow]
    rows: list[EventRow | SnapshotRow]
    faults: list[tuple[AcceptedRow, str]]
    rejected: list[RejectedRow]

    @property
    def org_id(self) -> str:
        """The org whose request it is."""
        return self.request.org_id


class StoredFact(Struct, frozen=True):
    """A fact of an org's directory."""

    message: StoredMessage
    fact: Fact

    @property
    def org_id(self) -> str:
        """The org that it is about."""
        return self.fact.body.org_id


Decoded = StoredRequest | StoredFact | Parked

_event = msgspec.json.Decoder(EventRow)
_snapshot = msgspec.json.Decoder(SnapshotRow)


def decode(message: StoredMessage, definition: Definition) -> Decoded:
    """Decode as much of a message as a projection needs; `Parked` with the reason when it is not what its subject says.

    Decoding is most of the work, so it does not wait for the fold: a caller can let others go on between messages.
    """
    org_id = ""
    try:
        subject = parse_ingest_subject(message.subject)
        org_id = subject.org_id
        if subject.kind == "directory":
            return _fact(message, subject)
        return _request(message, subject, definition)
    except DecodeError as error:
        return park(message, org_id, f"it cannot be decoded: {error}")
    except (ValueError, RecursionError) as error:
        return park(message, org_id, str(error))


def park(message: StoredMessage, org_id: str, reason: str) -> Parked:
    """The whole message, put aside."""
    return Parked(message, WHOLE_MESSAGE, org_id, "", reason)


def app_of(message: StoredMessage) -> str | None:
    """The app that a message's subject names, if it does."""
    try:
        app_id = parse_ingest_subject(message.subject).app_id
    except ValueError:
        return None
    return None if app_id == NO_APP else app_id


def _fact(message: StoredMessage, subject: IngestSubject) -> StoredFact:
    body = decode_fact(message.data)
    _same_org(body.org_id, subject)
    return StoredFact(message, Fact(message.sequence, message.stored_at_ns // 1000, body))


def _request(message: StoredMessage, subject: IngestSubject, definition: Definition) -> StoredRequest:
    is_events = subject.kind == "events"
    envelope: Envelope | EnvelopeOutline
    accepted, rows, faults = list[AcceptedRow](), list[EventRow | SnapshotRow](), list[tuple[AcceptedRow, str]]()
    if definition.resolves_workers or (definition.events if is_events else definition.snapshots):
        envelope = decode_envelope(message.data)
        accepted, rows, faults = _rows(envelope, _event if is_events else _snapshot)
        accepted_count = len(envelope.accepted)
    else:
        envelope = decode_outline(message.data)
        accepted_count = envelope.accepted_count
    if envelope.kind != subject.kind:
        raise ValueError(f"an envelope of kind {envelope.kind!r} under a subject of kind {subject.kind!r}")
    _same_org(envelope.org_id, subject)
    request = Request(
        envelope.request_id,
        envelope.org_id,
        envelope.app_id,
        envelope.connection,
        envelope.kind,
        message.sequence,
        envelope.received_at_us,
        message.stored_at_ns // 1000,
        accepted_count,
        len(envelope.rejected),
    )
    source = (envelope.org_id, envelope.app_id, envelope.connection)
    return StoredRequest(message, request, source, accepted, rows, faults, envelope.rejected)


def _rows(
    envelope: Envelope, decoder: msgspec.json.Decoder[Any]
) -> tuple[list[AcceptedRow], list[EventRow | SnapshotRow], list[tuple[AcceptedRow, str]]]:
    accepted, rows, faults = list[AcceptedRow](), list[EventRow | SnapshotRow](), list[tuple[AcceptedRow, str]]()
    decode_row, append = decoder.decode, rows.append
    try:
        for row in envelope.accepted:
            append(decode_row(row.raw))
    except (DecodeError, RecursionError):
        rows.clear()
    else:
        return envelope.accepted, rows, faults
    for row in envelope.accepted:
        try:
            append(decode_row(row.raw))
            accepted.append(row)
        except (DecodeError, RecursionError) as error:
            faults.append((row, f"not a row: {error}"))
    return accepted, rows, faults


def _same_org(org_id: str, subject: IngestSubject) -> None:
    if org_id != subject.org_id:
        raise ValueError(f"the message is of org {org_id!r}, its subject of org {subject.org_id!r}")
