"""From an address to an archive."""

from pathlib import Path
from urllib.parse import urlsplit

from wepeople_archive.archive import Archive
from wepeople_archive.bucket import open_bucket
from wepeople_archive.folder import Folder
from wepeople_chassis.archive_settings import ArchiveSettings


def open_archive(settings: ArchiveSettings) -> Archive:
    """The archive of these settings, which must have an address; nothing is asked of the storage yet."""
    url = urlsplit(settings.archive_url or "")
    if url.scheme == "file":
        return Archive(Folder(Path(url.path)))
    return Archive(open_bucket(url, settings.archive_key, settings.archive_ca_file))
