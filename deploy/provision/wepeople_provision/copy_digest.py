"""What a copy's content was when the server sent it, so that whoever reads it back knows that it still is."""

import hashlib
import os
from pathlib import Path

from wepeople_provision.errors import ProvisionError

_SUFFIX = ".sha256"
_READ_BYTES = 1024 * 1024


def seal(content: Path, digest: str) -> None:
    """Bring a file onto the disk, read it back from there, and put the digest of what was sent beside it, in the form
    of `sha256sum`. `ProvisionError` when the disk holds something else.
    """
    with content.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    if _digest_of(content) != digest:
        raise ProvisionError(f"{content} is not what the server sent: the disk gave back something else.")
    _beside(content).write_text(f"{digest}  {content.name}\n")


def check(content: Path) -> None:
    """`ProvisionError` when a file is not what it was sealed as; copies of earlier releases were not sealed."""
    if _beside(content).exists() and _digest_of(content) != _beside(content).read_text().split(" ", 1)[0]:
        raise ProvisionError(f"{content} is damaged: it is not what was copied. Take another copy.")


def _beside(content: Path) -> Path:
    return content.with_name(content.name + _SUFFIX)


def _digest_of(content: Path) -> str:
    digest = hashlib.sha256()
    with content.open("rb") as file:
        while chunk := file.read(_READ_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
