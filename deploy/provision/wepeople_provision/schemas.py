"""The schemas: each member's ordered SQL files, every file run once, as the member's own role."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points

from psycopg import AsyncConnection, sql
from psycopg import Error as PostgresError

from wepeople_chassis.postgres import schema_files
from wepeople_provision.errors import ProvisionError

GROUP = "wepeople.schemas"
CREATE_RECORD = """
CREATE SCHEMA IF NOT EXISTS provision;
CREATE TABLE IF NOT EXISTS provision.applied_files (
    schema     text NOT NULL,
    file       text NOT NULL,
    sha256     text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (schema, file)
)"""


@dataclass(frozen=True, slots=True)
class SchemaFile:
    """One SQL file of the member `schema` (`auth`, `quota`, …)."""

    schema: str
    name: str
    text: str

    @property
    def sha256(self) -> str:
        """What tells whether an applied file was changed."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def installed_files() -> list[SchemaFile]:
    """What the installed members contribute by the entry-point group `wepeople.schemas`, in the order to run it."""
    entries = sorted(entry_points(group=GROUP), key=lambda entry: entry.name)
    return [SchemaFile(entry.name, name, text) for entry in entries for name, text in schema_files(entry.value)]


def pending_files(files: Sequence[SchemaFile], applied: Mapping[tuple[str, str], str]) -> list[SchemaFile]:
    """The files not applied yet; `applied` maps (schema, file) to the SHA-256 it had.

    `ProvisionError` names each file that was changed since: its new text would never run.
    """
    changed = [f"{f.schema}/{f.name}" for f in files if applied.get((f.schema, f.name), f.sha256) != f.sha256]
    if changed:
        raise ProvisionError(
            f"Already applied to this database, but changed since: {', '.join(changed)}. "
            "Restore the file as it was, and put the change into a new file with the next number."
        )
    return [f for f in files if (f.schema, f.name) not in applied]


async def provision_schemas(connection: AsyncConnection, files: Sequence[SchemaFile]) -> list[str]:
    """Run each pending file in its own transaction; what was done, in words. `ProvisionError` when a file fails."""
    await connection.execute(CREATE_RECORD)
    found = await connection.execute("SELECT schema, file, sha256 FROM provision.applied_files")
    pending = pending_files(files, {(schema, file): sha256 for schema, file, sha256 in await found.fetchall()})
    for file in pending:
        await _apply(connection, file)
    return [f"schema {f.schema}: {f.name} applied" for f in pending] or ["schemas: nothing new"]


async def _apply(connection: AsyncConnection, file: SchemaFile) -> None:
    try:
        async with connection.transaction():
            await connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(f"wepeople_{file.schema}")))
            # The text is a file of an installed member, as trusted as its code.
            await connection.execute(sql.SQL(file.text))
            await connection.execute("RESET ROLE")
            await connection.execute(
                "INSERT INTO provision.applied_files (schema, file, sha256) VALUES (%s, %s, %s)",
                [file.schema, file.name, file.sha256],
            )
    except PostgresError as error:
        raise ProvisionError(f"The file {file.schema}/{file.name} failed and left nothing behind: {error}") from error
