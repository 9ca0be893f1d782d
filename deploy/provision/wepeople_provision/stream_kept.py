"""The copies of the streams that a schedule takes: each in a directory named by its time, the newest ones kept."""

import re
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from nats.aio.client import Client

from wepeople_provision.stream_copy import Extent, backup

_NAME = "%Y-%m-%dT%H-%M-%SZ"
_NAMED = re.compile(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ")
_UNFINISHED = ".unfinished"


@dataclass(frozen=True, slots=True)
class Kept:
    """The copy that was taken, what it holds, and the names of those that made way for it."""

    directory: Path
    extents: list[Extent]
    removed: list[str]


async def backup_and_keep(connection: Client, directory: Path, keep: int, now: datetime | None = None) -> Kept:
    """Copy each stream into a new directory in `directory`, then remove all but the newest `keep` whole copies.

    A copy has its name only once it is whole and was read back; what an earlier run left unfinished is removed. What
    else is in the directory stays. `ProvisionError` when no copy could be taken; then nothing older is removed.
    """
    taken = directory / (now or datetime.now(UTC)).strftime(_NAME)
    unfinished = taken.with_name(taken.name + _UNFINISHED)
    _clear(directory)
    extents = await backup(connection, unfinished)
    unfinished.rename(taken)
    return Kept(taken, extents, _make_way(directory, keep))


def _clear(directory: Path) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path in list(directory.glob(f"*{_UNFINISHED}")):
        if _NAMED.fullmatch(path.name.removesuffix(_UNFINISHED)):
            shutil.rmtree(path)


def _make_way(directory: Path, keep: int) -> list[str]:
    older = sorted(path for path in directory.iterdir() if _NAMED.fullmatch(path.name))[:-keep]
    for path in older:
        shutil.rmtree(path)
    return [path.name for path in older]
