"""What a client may send: one row of an events request, or one snapshot.

Structs check types and lengths in one pass over the bytes; `metadata` and `metrics` stay raw, so that they travel byte
for byte (design §2.6). Patterns stand in the schema only and are checked by `is_event_type` and `is_slug`: in the
decoder, the two patterns are 0.8 of the 1.2 µs that a row takes. Rules that a type cannot say are in the gateway's
`rules.py`.
"""

import re
from datetime import datetime
from functools import lru_cache
from typing import Annotated

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

MAX_ROWS = 500
MAX_METADATA_BYTES = 16_384
MAX_METRICS = 32
MAX_METRICS_BYTES = 65_536

ClientId = Annotated[str, Meta(min_length=1, max_length=128)]
_EVENT_TYPE = "[a-z0-9._-]{1,128}"
_SLUG = "[a-z0-9][a-z0-9_-]{0,63}"
EventType = Annotated[str, Meta(extra_json_schema={"pattern": f"^{_EVENT_TYPE}$"})]
Slug = Annotated[str, Meta(extra_json_schema={"pattern": f"^{_SLUG}$"})]
Timestamp = Annotated[datetime, Meta(tz=True)]


def is_event_type(text: str) -> bool:
    """Whether a text has the form of an event type."""
    return re.fullmatch(_EVENT_TYPE, text) is not None


@lru_cache(maxsize=1024)
def is_slug(text: str) -> bool:
    """Whether a text is a slug, such as a category or a snapshot type."""
    return re.fullmatch(_SLUG, text) is not None


class Actor(Struct, rename="camel", frozen=True, gc=False):
    """Who a row is about: at least one identifier, resolved in the order they stand here."""

    worker_id: Annotated[str, Meta(max_length=64)] | UnsetType = UNSET
    external_id: Annotated[str, Meta(max_length=256)] | UnsetType = UNSET
    email: Annotated[str, Meta(max_length=320)] | UnsetType = UNSET


class EventRow(Struct, rename="camel", frozen=True, gc=False):
    """One thing that happened. `duration` is in seconds; an absent `timestamp` means the time of receipt.

    `id` is the sender's own name of the event: the app sends it again as often as it likes, and it is there once.
    """

    event_type: EventType
    category: Slug
    actor: Actor
    timestamp: Timestamp | UnsetType = UNSET
    duration: Annotated[float, Meta(ge=0)] | UnsetType = UNSET
    metadata: Raw | UnsetType = UNSET
    id: ClientId | UnsetType = UNSET


class SnapshotRow(Struct, rename="camel", frozen=True):
    """How things stand: replaces the worker's previous snapshot of the same type from the same app."""

    snapshot_type: Slug
    actor: Actor
    metrics: Raw
    timestamp: Timestamp | UnsetType = UNSET


class RichMetric(Struct, frozen=True, forbid_unknown_fields=True):
    """A metric with a unit and a label beside its value."""

    value: float | int | Annotated[str, Meta(max_length=120)]
    unit: Annotated[str, Meta(max_length=64)] | UnsetType = UNSET
    label: Annotated[str, Meta(max_length=120)] | UnsetType = UNSET


Metric = float | int | Annotated[str, Meta(max_length=120)] | RichMetric
