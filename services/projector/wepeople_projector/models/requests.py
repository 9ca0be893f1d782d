"""What was asked: every stored request, once."""

from collections.abc import Mapping
from typing import Annotated, ClassVar

from msgspec import Meta

from wepeople_contracts.subjects import partition_of
from wepeople_projections import Instant, Operation, Projection, Request, Row, SmallInt, insert, on_request, table

# When a commit made the request visible is no fact of the stream: it stands in the journal of commits, so that the
# table itself is the same in every build.
_VIEW = """
SELECT r.request_id, r.org_id, r.app_id, r.connection, r.kind, r.sequence, r.received_at,
       r.accepted::integer AS accepted, r.rejected::integer AS rejected,
       (SELECT c.committed_at FROM {schema}.commits c
        WHERE c.org_id = r.org_id AND c.through >= r.sequence ORDER BY c.through LIMIT 1) AS projected_at
FROM {schema}.requests r
"""


@table(key=("request_id",), name="requests", key_is_global=True)
class StoredRequest(Row, frozen=True):
    """Every stored request, once: all whose body was well formed, whatever became of its rows."""

    app_id: str
    connection: Annotated[str, Meta(description="custom:<slug> of the app.")]
    kind: Annotated[str, Meta(description="events or snapshot.")]
    request_id: Annotated[
        str, Meta(description="As in X-Request-Id of the first answer; a replay of it carries another there.")
    ]
    sequence: Annotated[int, Meta(description="The request's position in the stream.")]
    received_at: Annotated[Instant, Meta(description="When the gateway received the request.")]
    accepted: Annotated[
        SmallInt,
        Meta(
            description="Rows accepted, as answered: those that an earlier event of the same name kept out of the "
            "timeline included."
        ),
    ]
    rejected: Annotated[SmallInt, Meta(description="Rows rejected, as answered.")]
    partition: Annotated[SmallInt, Meta(description="Of the stream; the org's.")]


class Requests(Projection):
    """Requests as they were stored; the view adds when this database got them."""

    name = "requests"
    version = 1
    tables = (StoredRequest,)
    views: ClassVar[Mapping[str, str]] = {"requests": _VIEW}

    @on_request()
    def append(self, request: Request) -> Operation:
        """Each request is a row."""
        return insert(
            StoredRequest(
                org_id=request.org_id,
                app_id=request.app_id,
                connection=request.connection,
                kind=request.kind,
                request_id=request.request_id,
                sequence=request.sequence,
                received_at=request.received_at_us,
                accepted=request.accepted,
                rejected=request.rejected,
                partition=partition_of(request.org_id),
            )
        )
