"""Who is this? What the gateway asks auth, and what auth tells everybody."""

from wepeople_contracts.reply import Message


class Authenticate(Message):
    """Asks who holds a bearer key. `request_id` is for the log alone: whose question it was that others may share."""

    token: str
    request_id: str | None = None


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
