"""The bodies that a client sends: the rows of the contract, and what their raw parts must be."""

from typing import Annotated, Any

from msgspec import Meta, Struct

from wepeople_contracts.rows import (
    MAX_METADATA_BYTES,
    MAX_METRICS,
    MAX_METRICS_BYTES,
    MAX_ROWS,
    Actor,
    EventRow,
    Metric,
    SnapshotRow,
)
from wepeople_gateway.ingest.rules import MAX_DEPTH, MAX_DIGITS, MAX_EXPONENT

Metadata = Annotated[
    dict[str, Any],
    Meta(
        description=f"At most {MAX_METADATA_BYTES} bytes of UTF-8 as sent and {MAX_DEPTH} levels deep; numbers of at "
        f"most {MAX_DIGITS} digits and exponents of at most {MAX_EXPONENT}. Comes back byte for byte.",
        extra_json_schema={"x-maxBytes": MAX_METADATA_BYTES, "x-maxDepth": MAX_DEPTH},
    ),
]
Metrics = Annotated[
    dict[str, Metric],
    Meta(
        min_length=1,
        max_length=MAX_METRICS,
        description=f"At most {MAX_METRICS_BYTES} bytes of UTF-8 as sent. Shown in the order sent, the first four on "
        "the strip.",
        extra_json_schema={"x-maxBytes": MAX_METRICS_BYTES},
    ),
]


class EventsBody(Struct):
    """What happened: events, each judged alone."""

    events: Annotated[list[EventRow], Meta(min_length=1, max_length=MAX_ROWS)]


RAW_PARTS: dict[type[Struct], dict[str, Any]] = {EventRow: {"metadata": Metadata}, SnapshotRow: {"metrics": Metrics}}
"""What stands in the fields that the contract carries as raw bytes (`rows.py`) and `rules.py` judges."""

NAMES_SOMEBODY: type[Struct] = Actor
"""The struct of which at least one field must be there."""
