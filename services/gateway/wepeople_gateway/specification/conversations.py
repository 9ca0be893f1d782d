"""Who says what to whom over NATS: subjects of the contract, with the types that travel on them."""

from dataclasses import dataclass

from msgspec import Struct
from pydantic import BaseModel

from wepeople_contracts.auth import Authenticate, KeyRevoked, Principal
from wepeople_contracts.directory import AppCreated, OrgFounded, WorkersImported
from wepeople_contracts.envelope import Envelope
from wepeople_contracts.operators import COMMANDS
from wepeople_contracts.projection import Projected, RequestQuery, RequestStatus
from wepeople_contracts.quota import Release, Reserve, Sharing, Usage, UsageQuery, Verdict
from wepeople_contracts.subjects import (
    AUTHENTICATE,
    KEY_REVOKED,
    PROJECTED_ALL,
    QUOTA_ALL,
    REQUEST_STATUS,
    Kind,
    auth_command,
    ingest_subject,
    leaving_subject,
    partition_of,
    ready_subject,
    sharing_subject,
)

_ORG, _APP = "{org}", "{app}"
_PARTITION, _STREAM = "{partition}", "{stream}"


@dataclass(frozen=True, slots=True)
class Stored:
    """What a service appends to the stream under subjects of one kind."""

    id: str
    service: str
    subject: str
    messages: tuple[type[Struct], ...]


@dataclass(frozen=True, slots=True)
class Exchange:
    """What a service is asked on a subject; `ok` is what its reply carries, None where nobody waits for one."""

    id: str
    service: str
    subject: str
    request: type[BaseModel]
    ok: type[BaseModel] | None


@dataclass(frozen=True, slots=True)
class Fact:
    """What a service tells everybody who listens, without storing it."""

    id: str
    service: str
    subject: str
    message: type[BaseModel]


@dataclass(frozen=True, slots=True)
class Signal:
    """A request without words: its subject says it all, and that a reply comes is the answer. `reply` is its body."""

    id: str
    service: str
    subject: str
    description: str
    reply: dict[str, bool] | None


def _ingest(kind: Kind) -> str:
    """The subjects of one kind, the partition, org and app left open."""
    return ingest_subject(_ORG, _APP, kind).replace(f".{partition_of(_ORG)}.", f".{_PARTITION}.")


def _quota(what: str) -> str:
    """What quota is asked of an org, the partition left open."""
    return QUOTA_ALL.replace("*", _PARTITION, 1).replace("*", what)


STORED = (
    Stored("storeEvents", "gateway", _ingest("events"), (Envelope,)),
    Stored("storeSnapshot", "gateway", _ingest("snapshot"), (Envelope,)),
    Stored("storeDirectoryFact", "auth", _ingest("directory"), (OrgFounded, AppCreated, WorkersImported)),
)

EXCHANGES = (
    Exchange("authenticate", "auth", AUTHENTICATE, Authenticate, Principal),
    Exchange("reserve", "quota", _quota("reserve"), Reserve, Verdict),
    Exchange("release", "quota", _quota("release"), Release, None),
    Exchange("readUsage", "quota", _quota("usage"), UsageQuery, Usage),
    Exchange("readRequestStatus", "projector", REQUEST_STATUS, RequestQuery, RequestStatus),
    *(Exchange(name, "auth", auth_command(name), request, ok) for name, (request, ok) in COMMANDS.items()),
)

FACTS = (
    Fact("tellKeyRevoked", "auth", KEY_REVOKED, KeyRevoked),
    Fact("tellProjected", "projector", PROJECTED_ALL.replace("*", _PARTITION), Projected),
    Fact("tellSharing", "quota", sharing_subject(_STREAM), Sharing),
)

SIGNALS = (
    Signal(
        "askReady",
        "every service",
        ready_subject("{service}"),
        "Answers once it can work; silence means that it cannot.",
        {"ready": True},
    ),
    Signal(
        "tellLeaving",
        "quota",
        leaving_subject(_STREAM),
        "Told by an owner of a stream that is about to hand it over, to whomever it names or to anyone; a standby that "
        "replies keeps what the owner leaves unanswered.",
        None,
    ),
)
