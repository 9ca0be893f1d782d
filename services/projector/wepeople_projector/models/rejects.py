"""What was refused: rejected rows as received, with the reason, for 14 days of the stream's own time."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, ClassVar

from msgspec import Meta

from wepeople_projections import Instant, Operation, Projection, Reject, Row, SmallInt, insert, on_reject, table

KEPT_US = timedelta(days=14) // timedelta(microseconds=1)

# A row goes with the next message of its org; until that comes, the view no longer shows it.
_VIEW = """
SELECT org_id, app_id, connection, request_id, row_index, code, message, field, retryable, raw, sequence, received_at,
       kept_until
FROM {schema}.rejects
WHERE kept_until > now()
"""


@table(
    key=("request_id", "row_index"),
    name="rejects",
    indexes=(("org_id", "sequence", "row_index"), ("org_id", "kept_until")),
    expires_by="kept_until",
)
class RejectedRow(Row, frozen=True):
    """Rows that were rejected, with the reason, for 14 days."""

    app_id: str
    connection: Annotated[str, Meta(description="custom:<slug> of the app.")]
    request_id: str
    row_index: Annotated[SmallInt, Meta(description="The row's place in its request, from 0.")]
    code: Annotated[str, Meta(description="As answered.")]
    message: str
    field: Annotated[str | None, Meta(description="The field at fault; NULL when it is the row as a whole.")]
    retryable: Annotated[bool, Meta(description="Whether the same row can be accepted later without a change.")]
    raw: Annotated[
        str,
        Meta(
            description="The row byte for byte as received: text, because it need not be JSON that Postgres can hold."
        ),
    ]
    sequence: Annotated[int, Meta(description="The request's position in the stream.")]
    received_at: Annotated[Instant, Meta(description="When the gateway received the request.")]
    kept_until: Annotated[
        Instant,
        Meta(
            description="14 days after the request was stored. The row is not shown any longer then, and goes when a "
            "later message of its org is stored."
        ),
    ]


class Rejects(Projection):
    """Rejected rows, each until 14 days later by the stream's own time, so that every rebuild agrees."""

    name = "rejects"
    version = 1
    tables = (RejectedRow,)
    views: ClassVar[Mapping[str, str]] = {"rejects": _VIEW}

    @on_reject()
    def append(self, reject: Reject) -> Operation:
        """Each rejected row is a row; what is no text, so that no column can hold it, is parked."""
        request, row = reject.request, reject.row
        return insert(
            RejectedRow(
                org_id=request.org_id,
                app_id=request.app_id,
                connection=request.connection,
                request_id=request.request_id,
                row_index=row.index,
                code=row.code,
                message=_storable(row.message),
                field=None if row.field is None else _storable(row.field),
                retryable=row.retryable,
                raw=_text(row.raw),
                sequence=request.sequence,
                received_at=request.received_at_us,
                kept_until=request.stored_at_us + KEPT_US,
            )
        )


def _text(raw: bytes) -> str:
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise ValueError("the rejected row is not text") from error
    if "\0" in text:
        raise ValueError("the rejected row is not text")
    return text


def _storable(words: str) -> str:
    """A message may quote what was sent, and Postgres has no NUL."""
    return words.replace("\0", "\N{REPLACEMENT CHARACTER}")
