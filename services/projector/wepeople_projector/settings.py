"""The projector's settings."""

from pydantic import Field

from wepeople_chassis.archive_settings import ArchiveSettings
from wepeople_chassis.postgres_settings import PostgresSettings
from wepeople_projections.definition.table import MOST_DAYS


class ProjectorSettings(PostgresSettings, ArchiveSettings):
    """Addresses of NATS and of Postgres, how far behind it may be, and how long events are kept."""

    ready_lag_seconds: float = Field(default=60, gt=0, examples=[300])
    """`/readyz` says no while the read models are further behind the stream."""
    keep_events_days: int | None = Field(default=None, ge=1, le=MOST_DAYS, examples=[400])
    """A month of the timeline goes when all of it happened longer ago. Without, it is kept for ever."""
