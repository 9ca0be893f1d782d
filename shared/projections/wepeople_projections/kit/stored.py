"""Makes the messages of what a test says: real envelopes, so that what is tried is what runs."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from wepeople_chassis.stream import StoredMessage
from wepeople_contracts.directory import (
    DirectoryEntry,
    DirectoryFact,
    OrgFounded,
    WorkersImported,
    encode_fact,
    normalize_email,
)
from wepeople_contracts.envelope import AcceptedRow, Charge, Envelope, RejectedRow, encode
from wepeople_contracts.ids import client_event_id, event_id
from wepeople_contracts.subjects import NO_APP, ingest_subject
from wepeople_projections.kit.items import DEFAULT_ORG, Directory, Founding, Import, Item, Sent
from wepeople_projections.times import EPOCH, MICROSECOND

_FIRST = datetime(2026, 4, 1, 9, tzinfo=UTC)
_STEP = timedelta(seconds=1)


def app_id_of(org: str, app: str) -> str:
    """The id of an app, unique in all orgs."""
    return f"{org}_{app}"


def messages_of(items: Sequence[Item]) -> list[StoredMessage]:
    """The stream, from sequence 1 on. Where no time is said, each message is received a second after the one before."""
    founded = {item.org for item in items if isinstance(item, Founding)}
    orgs = dict.fromkeys(_org_of(item) for item in items) or {DEFAULT_ORG: None}
    first = [Founding(org, org.capitalize(), None) for org in orgs if org not in founded]
    messages: list[StoredMessage] = []
    now = _FIRST
    for sequence, item in enumerate((*first, *items), 1):
        received = None if isinstance(item, Directory) else item.received
        now = received or now + _STEP
        messages.append(_message(item, sequence, (now - EPOCH) // MICROSECOND))
    return messages


def _org_of(item: Item) -> str:
    return item.body.org_id if isinstance(item, Directory) else item.org


def _message(item: Item, sequence: int, at_us: int) -> StoredMessage:
    if isinstance(item, Sent):
        envelope = _envelope(item, sequence, at_us)
        subject = ingest_subject(envelope.org_id, envelope.app_id, envelope.kind)
        return StoredMessage(sequence, subject, envelope.message_id, at_us * 1000, encode(envelope))
    body = item.body if isinstance(item, Directory) else _body(item, f"fact_{sequence:026d}", at_us)
    subject = ingest_subject(body.org_id, NO_APP, "directory")
    return StoredMessage(sequence, subject, body.fact_id, at_us * 1000, encode_fact(body))


def _body(item: Founding | Import, fact_id: str, at_us: int) -> DirectoryFact:
    if isinstance(item, Founding):
        salt = hashlib.sha256(item.org.encode()).digest()
        return OrgFounded(fact_id=fact_id, org_id=item.org, name=item.name, salt=salt, occurred_at_us=at_us)
    people = [DirectoryEntry(normalize_email(email), name) for email, name in item.people]
    return WorkersImported(fact_id=fact_id, org_id=item.org, workers=people, occurred_at_us=at_us)


def _envelope(sent: Sent, sequence: int, at_us: int) -> Envelope:
    request_id, app_id = f"req_{sequence:026d}", app_id_of(sent.org, sent.app)
    accepted: list[AcceptedRow] = []
    refused: list[RejectedRow] = []
    for index, row in enumerate(sent.rows):
        if row.reason is not None:
            refused.append(RejectedRow(index, *row.reason, None, False, row.raw))
        elif row.name is not None:
            accepted.append(AcceptedRow(index, client_event_id(app_id, row.name), row.raw, named=True))
        else:
            accepted.append(AcceptedRow(index, event_id(request_id, index), row.raw))
    return Envelope(
        kind=sent.kind,
        request_id=request_id,
        message_id=hashlib.sha256(request_id.encode()).hexdigest()[:40],
        org_id=sent.org,
        app_id=app_id,
        connection=f"custom:{sent.app}",
        key_id="0123456789ab",
        received_at_us=at_us,
        fingerprint=bytes(32),
        charge=Charge(f"{EPOCH + at_us * MICROSECOND:%Y-%m}", len(accepted), 1),
        accepted=accepted,
        rejected=refused,
    )
