"""May they, now and this month? What the gateway asks quota."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from wepeople_contracts.reply import Message
from wepeople_contracts.rows import MAX_ROWS


class Reserve(Message):
    """Asks for one request's passage and for monthly events: `units`, and one more for each of `event_ids` that this
    month has not charged yet.

    `message_id` is the reservation's id: the same id never reserves twice. None where nothing can be stored (ping).
    `units` counts rows without an id of their sender's; `event_ids` are those of the others, each once.
    `request_id` is for the log alone.
    """

    org_id: str
    key_id: str
    message_id: str | None
    units: int = Field(ge=0, le=MAX_ROWS)
    event_ids: list[str] = Field(default_factory=list, max_length=MAX_ROWS)
    key_limit: int = Field(ge=1)
    org_limit: int = Field(ge=1)
    month_limit: int | None
    request_id: str | None = None


class Window(Message):
    """A rate window as it stands: for the `RateLimit` header."""

    remaining: int
    reset_seconds: float


class Granted(Message):
    """The request passes and costs one unit of rate; `units` of the monthly events it needs fit into the month.

    `known_event_ids` are those of the request's that cost nothing, because this month has charged them.
    """

    verdict: Literal["granted"] = "granted"
    units: int
    known_event_ids: frozenset[str] = frozenset()
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
    """A stream already holds this message id: read it at `sequence` and give the same answer. Costs one rate unit."""

    verdict: Literal["seen"] = "seen"
    stream: str
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


class AppUsage(Message):
    """What one app's connection (`custom:<slug>`) has used of its org's month."""

    connection: str
    used: int


class Usage(Message):
    """An org's monthly events: folded from the stream, plus those reserved by requests in flight."""

    org_id: str
    period: str
    used: int
    reserved: int
    resets_at: datetime
    apps: list[AppUsage] = Field(default_factory=list)


class Sharing(Message):
    """A process of quota, called `heir`, which owns so many streams, would take a stream from an owner of two more."""

    stream: str
    heir: str
    owns: int = Field(ge=0)
