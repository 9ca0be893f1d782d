"""Facts of the directory as auth founds them, and how they lie in the outbox."""

import re
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass

from wepeople_auth.names import checked_name
from wepeople_auth.refusals import invalid
from wepeople_contracts.directory import (
    AppCreated,
    DirectoryEntry,
    DirectoryFact,
    OrgFounded,
    WorkersImported,
    encode_fact,
    normalize_email,
)
from wepeople_contracts.ids import new_id
from wepeople_contracts.operators import ImportedWorker
from wepeople_contracts.subjects import NO_APP, ingest_subject

SALT_BYTES = 32

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")


@dataclass(frozen=True, slots=True)
class OutboxFact:
    """A fact ready to be sent: its id is the `Nats-Msg-Id`, `body` its encoded bytes."""

    fact_id: str
    org_id: str
    subject: str
    body: bytes


def org_founded(name: str) -> OrgFounded:
    """The founding of a new org, with a fresh id and a random salt."""
    return OrgFounded(
        fact_id=new_id("fact"),
        org_id=new_id("org"),
        name=name,
        salt=secrets.token_bytes(SALT_BYTES),
        occurred_at_us=_now_us(),
    )


def app_created(org_id: str, slug: str) -> AppCreated:
    """The creation of a new app, with a fresh id."""
    return AppCreated(
        fact_id=new_id("fact"),
        org_id=org_id,
        app_id=new_id("app"),
        slug=slug,
        connection=f"custom:{slug}",
        occurred_at_us=_now_us(),
    )


def workers_imported(org_id: str, workers: Sequence[ImportedWorker]) -> WorkersImported:
    """An import with emails in the form that they are compared in; `invalid` for a bad or doubled email."""
    entries: dict[str, DirectoryEntry] = {}
    for worker in workers:
        email = checked_email(worker.email)
        if email in entries:
            raise invalid(f"{email} stands twice in this import. Keep one of the lines.")
        entries[email] = DirectoryEntry(email, checked_name(worker.name, "worker's name"))
    return WorkersImported(
        fact_id=new_id("fact"), org_id=org_id, workers=list(entries.values()), occurred_at_us=_now_us()
    )


def checked_email(email: str) -> str:
    """The email in the form that it is compared in; `invalid` when it is none."""
    normal = normalize_email(checked_name(email, "email"))
    if not _EMAIL.fullmatch(normal):
        raise invalid(f"{email!r} is not an email address. Write it like name@example.com.")
    return normal


def outbox_fact(fact: DirectoryFact) -> OutboxFact:
    """The fact under the subject that it is stored by."""
    app_id = fact.app_id if isinstance(fact, AppCreated) else NO_APP
    return OutboxFact(fact.fact_id, fact.org_id, ingest_subject(fact.org_id, app_id, "directory"), encode_fact(fact))


def _now_us() -> int:
    return time.time_ns() // 1000
