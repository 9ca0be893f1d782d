"""What quota needs to know."""

from pydantic import Field

from wepeople_chassis.archive_settings import ArchiveSettings
from wepeople_chassis.postgres_settings import PostgresSettings


class QuotaSettings(PostgresSettings, ArchiveSettings):
    """Quota's settings; see the chassis for how they are read."""

    reservation_seconds: float = Field(default=30.0, gt=10.0)
    """How long units are held for a request of which nothing is heard; above the gateways' publish deadline."""
    save_seconds: float = Field(default=2.0, gt=0.0)
    """How often the fold is saved; after a crash at most this much of the stream is counted again."""
