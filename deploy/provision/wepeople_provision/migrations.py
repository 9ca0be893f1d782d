"""Which SQL files are run when: before the new code (`NNN_what.sql`), or after the old code (`NNN_what.post.sql`)."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points

from wepeople_chassis.postgres import schema_files
from wepeople_provision.errors import ProvisionError

GROUP = "wepeople.schemas"
_AFTER_ROLLOUT = ".post.sql"

FileKey = tuple[str, str]
"""A member's schema, and the name of one of its files."""


@dataclass(frozen=True, slots=True)
class SchemaFile:
    """One SQL file of the member `schema` (`auth`, `quota`, …)."""

    schema: str
    name: str
    text: str

    @property
    def key(self) -> FileKey:
        """Under which it is recorded."""
        return self.schema, self.name

    @property
    def sha256(self) -> str:
        """What tells whether an applied file was changed."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def after_rollout(self) -> bool:
        """Whether it takes away what the release before still uses."""
        return is_after_rollout(self.name)

    def __str__(self) -> str:
        return f"{self.schema}/{self.name}"


@dataclass(frozen=True, slots=True)
class Record:
    """What a database remembers: the SHA-256 of each applied file, and the files that the last rollout still owes."""

    applied: Mapping[FileKey, str] = field(default_factory=dict)
    owed: Collection[FileKey] = ()


@dataclass(frozen=True, slots=True)
class Due:
    """The files to run now, those that wait until the old code is gone, and those that a newer release has run."""

    now: Sequence[SchemaFile] = field(default_factory=list)
    later: Sequence[SchemaFile] = field(default_factory=list)
    newer: Sequence[FileKey] = field(default_factory=list)


def is_after_rollout(name: str) -> bool:
    """Whether a file of this name is run only once the old code is gone."""
    return name.endswith(_AFTER_ROLLOUT)


def installed_files() -> list[SchemaFile]:
    """What the installed members contribute by the entry-point group `wepeople.schemas`, in the order to run it."""
    entries = sorted(entry_points(group=GROUP), key=lambda entry: entry.name)
    return [SchemaFile(entry.name, name, text) for entry in entries for name, text in schema_files(entry.value)]


def due_files(files: Sequence[SchemaFile], record: Record, *, after_rollout: bool) -> Due:
    """Decide what is run. A schema of which nothing is applied has no old code: all of its files are run.

    `ProvisionError` when a file was changed since it was applied, when the rollout before was not finished, and when
    the database was left by a newer release in a state that this one cannot work with.
    """
    _refuse_changed(files, record)
    newer = _newer(files, record)
    founded = {schema for schema, _ in record.applied}
    pending = [file for file in files if file.key not in record.applied]
    now = [file for file in pending if after_rollout or not file.after_rollout or file.schema not in founded]
    later = [file for file in pending if file not in now]
    if unfinished := [file for file in later if file.key in record.owed and _has_news(file.schema, now)]:
        raise ProvisionError(
            f"The rollout before this one was not finished: {_names(unfinished)} still to run. Once no process of the "
            "release before it is left, run `wepeople provision --after-rollout` of the release that runs now, then "
            "this one. With all services stopped, `wepeople provision --after-rollout` of this release does both."
        )
    return Due(now, later, newer)


def _has_news(schema: str, now: Sequence[SchemaFile]) -> bool:
    return any(file.schema == schema for file in now)


def _refuse_changed(files: Sequence[SchemaFile], record: Record) -> None:
    if changed := [file for file in files if record.applied.get(file.key, file.sha256) != file.sha256]:
        raise ProvisionError(
            f"Already applied to this database, but changed since: {_names(changed)}. "
            "Restore the file as it was, and put the change into a new file with the next number."
        )


def _newer(files: Sequence[SchemaFile], record: Record) -> list[FileKey]:
    known = {file.key for file in files}
    schemas = {file.schema for file in files}
    newer = sorted(key for key in record.applied if key[0] in schemas and key not in known)
    if gone := [f"{schema}/{name}" for schema, name in newer if is_after_rollout(name)]:
        raise ProvisionError(
            f"A newer release has finished its rollout on this database ({', '.join(gone)}): this release no longer "
            "works with it. Install the newer one, or restore the database from before its rollout."
        )
    return newer


def _names(files: Sequence[SchemaFile]) -> str:
    return ", ".join(map(str, files))
