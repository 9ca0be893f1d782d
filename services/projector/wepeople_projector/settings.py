"""The projector's settings."""

from pydantic import Field

from wepeople_chassis.archive_settings import ArchiveSettings
from wepeople_chassis.postgres_settings import PostgresSettings


class ProjectorSettings(PostgresSettings, ArchiveSettings):
    """Addresses of NATS and of Postgres, and how far behind it may be."""

    ready_lag_seconds: float = Field(default=60, gt=0, examples=[300])
    """`/readyz` says no while the read models are further behind the stream."""
