"""How far are the read models? What the projector tells everybody, and what it is asked."""

from datetime import datetime

from wepeople_contracts.reply import Message


class Projected(Message):
    """Broadcast after a commit: everything of the partition up to `sequence` is visible.

    `pending` messages of the partition were left to be read; a replay gives way while there are any.
    """

    partition: int
    sequence: int
    pending: int = 0


class RequestQuery(Message):
    """Asks what became of a request of an app."""

    org_id: str
    app_id: str
    request_id: str


class RequestStatus(Message):
    """A stored request, as the read models know it; its rows are in the stream, at `sequence`."""

    request_id: str
    kind: str
    received_at: datetime
    sequence: int
    projected_at: datetime
    accepted: int
    rejected: int
