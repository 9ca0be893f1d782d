"""Messages as the gateway and auth store them, for tests of those who read the stream."""

import hashlib
import json
import time
from collections.abc import Sequence
from typing import Any, Literal

import nats
from nats.aio.client import Client

from wepeople_contracts.directory import (
    AppCreated,
    DirectoryEntry,
    DirectoryFact,
    OrgFounded,
    WorkersImported,
    encode_fact,
)
from wepeople_contracts.envelope import MSG_ID_HEADER, AcceptedRow, Charge, Envelope, encode
from wepeople_contracts.ids import event_id, new_id, new_request_id
from wepeople_contracts.subjects import NO_APP, ingest_subject

RECEIVED_AT_US = 1_776_600_000_000_000
"""2026-04-19T12:00:00Z."""


def raw(row: dict[str, Any]) -> bytes:
    """A row's bytes as the guide would send them."""
    return json.dumps(row, ensure_ascii=False).encode()


def founded(org_id: str, salt: bytes | None = None) -> OrgFounded:
    """An org's founding fact, its salt derived from its id unless it is given."""
    salt = hashlib.sha256(org_id.encode()).digest() if salt is None else salt
    return OrgFounded(
        fact_id=new_id("fact"), org_id=org_id, name=f"Org {org_id}", salt=salt, occurred_at_us=RECEIVED_AT_US
    )


def app_created(org_id: str, app_id: str, slug: str = "ci") -> AppCreated:
    """An app's creation."""
    return AppCreated(
        fact_id=new_id("fact"),
        org_id=org_id,
        app_id=app_id,
        slug=slug,
        connection=f"custom:{slug}",
        occurred_at_us=RECEIVED_AT_US,
    )


def imported(org_id: str, *people: tuple[str, str]) -> WorkersImported:
    """A directory import of (email, name)."""
    return WorkersImported(
        fact_id=new_id("fact"),
        org_id=org_id,
        workers=[DirectoryEntry(email, name) for email, name in people],
        occurred_at_us=RECEIVED_AT_US,
    )


def envelope(
    org_id: str,
    rows: Sequence[bytes],
    *,
    app_id: str = "app_1",
    slug: str = "ci",
    kind: Literal["events", "snapshot"] = "events",
    received_at_us: int | None = None,
) -> Envelope:
    """A request whose rows were all accepted."""
    request_id = new_request_id()
    received_at_us = time.time_ns() // 1000 if received_at_us is None else received_at_us
    return Envelope(
        kind=kind,
        request_id=request_id,
        message_id=hashlib.sha256(request_id.encode()).hexdigest()[:40],
        org_id=org_id,
        app_id=app_id,
        connection=f"custom:{slug}",
        key_id="0123456789ab",
        received_at_us=received_at_us,
        fingerprint=bytes(32),
        charge=Charge("2026-04", len(rows), 1),
        accepted=[AcceptedRow(i, event_id(request_id, i), row) for i, row in enumerate(rows)],
        rejected=[],
    )


def subject_of(message: Envelope | DirectoryFact) -> str:
    """Where a message is stored."""
    if isinstance(message, Envelope):
        return ingest_subject(message.org_id, message.app_id, message.kind)
    return ingest_subject(message.org_id, NO_APP, "directory")


def data_of(message: Envelope | DirectoryFact) -> bytes:
    """A message's bytes."""
    return encode(message) if isinstance(message, Envelope) else encode_fact(message)


def id_of(message: Envelope | DirectoryFact) -> str:
    """What the stream tells duplicates by."""
    return message.message_id if isinstance(message, Envelope) else message.fact_id


async def store(connection: Client, *messages: Envelope | DirectoryFact) -> int:
    """Publish messages in order; the sequence of the last one."""
    sequence = 0
    for message in messages:
        sequence = await store_bytes(connection, subject_of(message), data_of(message), id_of(message))
    return sequence


async def store_bytes(connection: Client, subject: str, data: bytes, message_id: str) -> int:
    """Publish one message and return its sequence once it is on disk."""
    stream = connection.jetstream()
    acknowledged: nats.js.api.PubAck = await stream.publish(subject, data, headers={MSG_ID_HEADER: message_id})
    return acknowledged.seq
