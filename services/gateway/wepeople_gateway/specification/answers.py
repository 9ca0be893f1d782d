"""The bodies of the API's answers, as types: the source of their schemas, and what the tests read real answers with."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from wepeople_contracts.errors import Code
from wepeople_gateway.reading import REQUEST_ID

Count = Annotated[int, Meta(ge=0)]
RequestId = Annotated[
    str, Meta(pattern=f"^{REQUEST_ID.pattern}$", description="Cite it in support; also in `X-Request-Id`.")
]
EventId = Annotated[str, Meta(pattern=r"^evt_([0-9A-HJKMNP-TV-Z]{29}|[a-z2-7]{29})$")]
Message = Annotated[str, Meta(min_length=1, description="What is wrong and how to mend it, for people.")]


class App(Struct, rename="camel"):
    """The app that the key belongs to."""

    slug: str


class Ping(Struct, rename="camel"):
    """Whose key this is."""

    organization_id: str
    app: App
    request_id: RequestId


class AppUsage(Struct, rename="camel"):
    """One app's part of the month."""

    slug: str
    used: Count


class Usage(Struct, rename="camel"):
    """The organization's month. `limit` is null on a plan without one."""

    organization_id: str
    period: Annotated[str, Meta(pattern=r"^[0-9]{4}-[0-9]{2}$", description="A month in UTC.")]
    used: Count
    limit: Count | None
    reset_at: datetime
    apps: list[AppUsage]
    request_id: RequestId


class KeyLimits(Struct, rename="camel"):
    """What holds for this key."""

    requests_per_second: Count


class OrganizationLimits(Struct, rename="camel"):
    """What holds for all keys of the organization together; null is no limit."""

    requests_per_second: Count
    max_events_per_month: Count | None


class RequestLimits(Struct, rename="camel"):
    """What holds for one request."""

    max_body_bytes: Annotated[int, Meta(ge=0, description="After decompression.")]
    max_events: Count
    max_metadata_bytes: Count
    max_metrics: Count


class Limits(Struct, rename="camel"):
    """Every limit that holds for this key, and the event types that its app may send."""

    key: KeyLimits
    organization: OrganizationLimits
    request: RequestLimits
    event_types: list[str]
    request_id: RequestId


class RowError(Struct, rename="camel"):
    """Why one row was refused. `field` is null where no single field is at fault; `retryable` says whether the same row
    can be accepted later without a change.
    """

    code: Code
    message: Message
    field: str | None
    retryable: bool


class AcceptedRow(Struct, rename="camel", tag_field="status", tag="accepted"):
    """The row is stored, under an id of its own."""

    index: Count
    event_id: EventId


class DuplicateRow(Struct, rename="camel", tag_field="status", tag="duplicate"):
    """The app has sent an event of this `id` before: `eventId` is the first one's, and the row costs nothing."""

    index: Count
    event_id: EventId


class RejectedRow(Struct, rename="camel", tag_field="status", tag="rejected"):
    """The row breaks a rule; none of the others is affected."""

    index: Count
    error: RowError


RowResult = AcceptedRow | DuplicateRow | RejectedRow


class Ingested(Struct, rename="camel"):
    """What became of each row, in the order of the request; duplicates count as accepted."""

    request_id: RequestId
    accepted: Count
    rejected: Count
    results: Annotated[list[RowResult], Meta(min_length=1)]


class StoredRequest(Struct, rename="camel"):
    """One request in the log: its position there (`sequence`), and since when its rows can be read."""

    request_id: RequestId
    kind: Literal["events", "snapshot"]
    received_at: datetime
    sequence: Annotated[int, Meta(ge=1)]
    projected_at: datetime
    accepted: Count
    rejected: Count
    results: Annotated[list[RowResult], Meta(min_length=1)]


class RequestFound(Struct, rename="camel"):
    """The request that was asked for, beside the id of the asking itself."""

    request: StoredRequest
    request_id: RequestId


class Error(Struct, rename="camel", kw_only=True):
    """The one shape of every error; what follows `docsUrl` is there with the codes that need it."""

    code: Code
    message: Message
    request_id: RequestId
    docs_url: Annotated[str, Meta(description="What the code means and what to do; relative to this server.")]
    field: str | UnsetType | None = UNSET
    scope: Annotated[Literal["key", "org"], Meta(description="Whose rate is spent.")] | UnsetType = UNSET
    reset_at: Annotated[datetime, Meta(description="When the next month begins.")] | UnsetType = UNSET
    outcome: Annotated[Literal["unknown"], Meta(description="Perhaps stored.")] | UnsetType = UNSET
    original_request_id: Annotated[str, Meta(description="Which one used the key first.")] | UnsetType = UNSET


class Refusal(Struct, rename="camel", kw_only=True):
    """A request that was refused as a whole."""

    error: Error


class RowsRefusal(Refusal, rename="camel", kw_only=True):
    """A well-formed request none of whose rows was accepted: the error that they share, and each row's own."""

    request_id: RequestId
    accepted: Annotated[int, Meta(ge=0, le=0)]
    rejected: Annotated[int, Meta(ge=1)]
    results: Annotated[list[RejectedRow], Meta(min_length=1)]
