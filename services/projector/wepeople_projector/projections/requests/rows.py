"""Rows of the requests."""

from msgspec import Struct

from wepeople_contracts.envelope import Envelope


class RequestRow(Struct, frozen=True, gc=False):
    """One stored request; `accepted` and `rejected` count its rows as they were answered."""

    request_id: str
    org_id: str
    app_id: str
    connection: str
    kind: str
    sequence: int
    received_at_us: int
    accepted: int
    rejected: int


def request_row(envelope: Envelope, sequence: int) -> RequestRow:
    """The row of a request stored at this sequence."""
    return RequestRow(
        envelope.request_id,
        envelope.org_id,
        envelope.app_id,
        envelope.connection,
        envelope.kind,
        sequence,
        envelope.received_at_us,
        len(envelope.accepted),
        len(envelope.rejected),
    )
