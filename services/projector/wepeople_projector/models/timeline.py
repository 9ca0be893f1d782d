"""What happened: every accepted event, once."""

from typing import Annotated

from msgspec import Meta

from wepeople_projections import (
    Event,
    Instant,
    Jsonb,
    Operation,
    Projection,
    RawText,
    Row,
    SmallInt,
    insert,
    on_event,
    table,
)


# An event's id alone is there once: named ones are known for ever, and the others come from their request and row. The
# time is in the key because Postgres knows keys of one month only.
@table(
    key=("event_id", "occurred_at"),
    name="timeline",
    indexes=(("org_id", "worker_id", "-occurred_at"),),
    key_is_global=True,
    in_key_order=True,
    by_month="occurred_at",
)
class TimelineEvent(Row, frozen=True):
    """Every accepted event, once. Read a worker's by (org_id, worker_id) and occurred_at, newest first."""

    app_id: str
    connection: Annotated[str, Meta(description="custom:<slug> of the app.")]
    request_id: Annotated[str, Meta(description="The request that brought the event, as in X-Request-Id.")]
    sequence: Annotated[int, Meta(description="The request's position in the stream.")]
    received_at: Annotated[Instant, Meta(description="When the gateway received the request.")]
    event_id: Annotated[
        str,
        Meta(
            description="As the API answered it. Ordered by time of receipt, unless the sender named the event: then "
            "it is derived from the name, and the first event of a name is the only one here."
        ),
    ]
    worker_id: str
    row_index: Annotated[SmallInt, Meta(description="The event's place in its request, from 0.")]
    event_type: str
    category: str
    occurred_at: Annotated[
        Instant, Meta(description="The event's own timestamp; when it had none, the time of receipt.")
    ]
    duration: Annotated[float | None, Meta(description="Seconds.")]
    metadata: Annotated[
        Jsonb | None,
        Meta(
            description="For queries. Of duplicate keys the last is kept and keys are reordered; NULL when absent, or "
            "when JSONB cannot hold it."
        ),
    ]
    metadata_raw: Annotated[RawText | None, Meta(description="Byte for byte what was sent; NULL when absent.")]


class Timeline(Projection):
    """Events as they were sent, each with the worker whose it is."""

    name = "timeline"
    version = 1
    tables = (TimelineEvent,)

    @on_event()
    def append(self, event: Event) -> Operation:
        """Each event is a row. Positional, because it is the most frequent thing that a projector does."""
        request = event.request
        raw = event.metadata_raw
        return insert(
            TimelineEvent(
                request.org_id,
                request.app_id,
                request.connection,
                request.request_id,
                request.sequence,
                request.received_at_us,
                event.event_id,
                event.worker_id,
                event.index,
                event.event_type,
                event.category,
                event.occurred_at_us,
                event.duration,
                raw,
                raw,
            )
        )
