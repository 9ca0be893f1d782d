"""What the archiver needs to know."""

from typing import Self

from pydantic import Field, model_validator

from wepeople_chassis.archive_settings import ArchiveSettings
from wepeople_chassis.settings import ServiceSettings


class ArchiverSettings(ServiceSettings, ArchiveSettings):
    """The archiver's settings; see the chassis for how they are read."""

    archive_file_bytes: int = Field(default=32 * 1024 * 1024, ge=1, le=256 * 1024 * 1024)
    """A file is written once a partition has so many bytes for it, before they are compressed."""

    archive_file_messages: int = Field(default=100_000, ge=1)
    """A file is written once a partition has so many messages for it."""

    archive_file_seconds: float = Field(default=600.0, gt=0)
    """A file is written once a partition's first message for it has waited so long."""

    archive_waiting_bytes: int = Field(default=128 * 1024 * 1024, ge=1)
    """So much waits in memory for all partitions together before the fullest one is written."""

    @model_validator(mode="after")
    def _has_an_archive(self) -> Self:
        if not self.archive_url:
            raise ValueError(
                "WEPEOPLE_ARCHIVE_URL is missing: where to put the files, for example "
                "s3://bucket/prefix?region=eu-central-1 or file:///var/lib/wepeople/archive"
            )
        return self
