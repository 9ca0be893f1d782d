"""Requests and replies between services, as pydantic models; bodies are JSON.

A reply carries either `ok` or `error`, never both: a handler that failed still answers, so that nobody waits in vain.
"""

from datetime import datetime
from typing import Generic, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

T = TypeVar("T", bound=BaseModel)


class Message(BaseModel):
    """Base of every message: immutable, and deaf to fields of newer releases."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class RpcError(Message):
    """Why a command was refused. `code` is stable; `message` says what to do next.

    `unavailable`: something the service needs is away or busy, and the same request can succeed later.
    """

    code: Literal["invalid_key", "not_found", "already_exists", "invalid", "unavailable", "internal"]
    message: str


class Reply(Message, Generic[T]):
    """The answer to a request: `ok` or `error`."""

    ok: T | None = None
    error: RpcError | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.ok is None) == (self.error is None):
            raise ValueError("a reply carries exactly one of ok and error")
        return self


# --- auth: who is this? -----------------------------------------------------------------------------------------------


class Authenticate(Message):
    """Asks who holds a bearer key."""

    token: str


class Principal(Message):
    """The authenticated caller: an app of an org, by one of its keys, with its plan's limits.

    `age_seconds` is how old the key's state was when auth answered; caches count on from there (at most 60 s in all).
    `max_events_per_month` is None for a plan without a limit.
    """

    org_id: str
    app_id: str
    app_slug: str
    connection: str
    key_id: str
    allowed_event_types: frozenset[str]
    key_requests_per_second: int
    org_requests_per_second: int
    max_events_per_month: int | None
    age_seconds: float = 0.0


class KeyRevoked(Message):
    """Broadcast the moment a key is revoked: whoever caches it forgets it."""

    key_id: str


# --- quota: may they, now and this month? -----------------------------------------------------------------------------


class Reserve(Message):
    """Asks for one request's passage and for `units` monthly events.

    `message_id` is the reservation's id: the same id never reserves twice. None where nothing can be stored (ping).
    """

    org_id: str
    key_id: str
    message_id: str | None
    units: int = Field(ge=0, le=500)
    key_limit: int = Field(ge=1)
    org_limit: int = Field(ge=1)
    month_limit: int | None


class Window(Message):
    """A rate window as it stands: for the `RateLimit` header."""

    remaining: int
    reset_seconds: float


class Granted(Message):
    """The request passes and costs one unit of rate; `units` of those asked for fit into the month."""

    verdict: Literal["granted"] = "granted"
    units: int
    period: str
    epoch: int
    month_resets_at: datetime
    key_window: Window


class RateLimited(Message):
    """The request does not pass, and costs nothing; the same client gets through after `retry_after_seconds`."""

    verdict: Literal["rate_limited"] = "rate_limited"
    scope: Literal["key", "org"]
    retry_after_seconds: float
    key_window: Window


class Seen(Message):
    """The stream already holds this message id: read it at `sequence` and give the same answer. Costs one rate unit."""

    verdict: Literal["seen"] = "seen"
    sequence: int
    key_window: Window


class Verdict(Message):
    """Quota's answer."""

    verdict: Granted | RateLimited | Seen = Field(discriminator="verdict")


class Release(Message):
    """Gives a reservation back after a definite failure: the message is not stored and never will be."""

    org_id: str
    message_id: str


class UsageQuery(Message):
    """Asks what an org has used of the current month."""

    org_id: str


class Usage(Message):
    """An org's monthly events: folded from the stream, plus those reserved by requests in flight."""

    org_id: str
    period: str
    used: int
    reserved: int
    resets_at: datetime


# --- auth: operators' commands and questions --------------------------------------------------------------------------


class Plan(Message):
    """What an org has bought; None is no limit."""

    name: str
    max_events_per_month: int | None
    key_requests_per_second: int
    org_requests_per_second: int


class CreateOrg(Message):
    """Founds an org on a plan."""

    name: str = Field(min_length=1, max_length=200)
    plan: str = "standard"


class Org(Message):
    """A tenant."""

    org_id: str
    name: str
    plan: Plan
    created_at: datetime


class CreateApp(Message):
    """Creates a developer app inside an org."""

    org_id: str
    slug: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    allowed_event_types: list[str] = Field(default_factory=list)


class App(Message):
    """A developer app: its whitelist and the connection its events are shown under."""

    app_id: str
    org_id: str
    slug: str
    connection: str
    allowed_event_types: list[str]
    created_at: datetime


class AllowEventTypes(Message):
    """Adds event types to an app's whitelist."""

    app_id: str
    event_types: list[str] = Field(min_length=1)


class CreateKey(Message):
    """Issues a key of an app; `requests_per_second` overrides the plan's rate for this key."""

    app_id: str
    name: str = Field(default="", max_length=200)
    requests_per_second: int | None = Field(default=None, ge=1)


class Key(Message):
    """A key as lists show it: never the secret."""

    key_id: str
    app_id: str
    name: str
    requests_per_second: int | None
    created_at: datetime
    revoked_at: datetime | None


class NewKey(Message):
    """A key just issued: the only time that the whole token is seen."""

    key: Key
    token: str


class RevokeKey(Message):
    """Revokes a key for good."""

    key_id: str


class ImportedWorker(Message):
    """One line of a directory import."""

    email: str = Field(min_length=3, max_length=320)
    name: str = Field(default="", max_length=200)


class ImportWorkers(Message):
    """Brings people into an org's directory."""

    org_id: str
    workers: list[ImportedWorker] = Field(min_length=1, max_length=5000)


class Imported(Message):
    """How many people the stored fact holds, and where it is in the stream."""

    count: int
    sequence: int


class ListApps(Message):
    """Asks for an org's apps."""

    org_id: str


class ListKeys(Message):
    """Asks for an app's keys, revoked ones included."""

    app_id: str


class Nothing(Message):
    """A question without parameters."""


class OrgList(Message):
    """Every org."""

    orgs: list[Org]


class AppList(Message):
    """An org's apps."""

    apps: list[App]


class KeyList(Message):
    """An app's keys."""

    keys: list[Key]
