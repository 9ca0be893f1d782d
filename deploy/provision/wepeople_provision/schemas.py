"""The schemas: each member's ordered SQL files, every file run once, by its own role's login, beside live traffic.

Never by the provisioner's: what an owner has put behind its tables (triggers, checks, defaults) runs with the rights of
the session, and a role that is only set can be reset.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from psycopg import AsyncConnection, sql
from psycopg import Error as PostgresError
from psycopg.errors import DeadlockDetected, LockNotAvailable, QueryCanceled

from wepeople_provision.change import Change
from wepeople_provision.database import database_at, end_with_its_machine
from wepeople_provision.errors import ProvisionError
from wepeople_provision.migrations import Due, FileKey, Record, SchemaFile, due_files

CREATE_RECORD = """
CREATE SCHEMA IF NOT EXISTS provision;
CREATE TABLE IF NOT EXISTS provision.applied_files (
    schema     text NOT NULL,
    file       text NOT NULL,
    sha256     text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (schema, file)
);
-- What the last rollout has left to be run once its old code is gone.
CREATE TABLE IF NOT EXISTS provision.owed_files (
    schema     text NOT NULL,
    file       text NOT NULL,
    owed_since timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (schema, file)
);
-- Whoever runs a file records it in the same transaction.
GRANT USAGE ON SCHEMA provision TO {roles};
GRANT INSERT (schema, file, sha256) ON provision.applied_files TO {roles};
ALTER TABLE provision.applied_files ENABLE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS each_its_own ON provision.applied_files;
CREATE POLICY each_its_own ON provision.applied_files FOR INSERT WITH CHECK ('wepeople_' || schema = current_user)"""
_OLDEST_TRANSACTIONS = """
SELECT coalesce(nullif(application_name, ''), 'somebody') || ' (role ' || usename || ', pid ' || pid || ', for '
       || round(extract(epoch FROM now() - xact_start)) || ' s)'
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start < now() - interval '1 second'
ORDER BY xact_start LIMIT 3
"""


@dataclass(frozen=True, slots=True)
class Patience:
    """What one file may cost those who use the tables meanwhile.

    Whoever wants a table for which a file waits, waits behind it: so the file gives up after `lock_seconds`, lets them
    pass for `pause_seconds` and tries again, `attempts` times in all. No statement of it takes longer than
    `statement_seconds`, in which it may hold its locks; a file that holds none in anybody's way sets more for itself
    (`SET LOCAL statement_timeout`). `turn_seconds` is how long another provisioner is waited for.
    """

    lock_seconds: float = 2.0
    attempts: int = 15
    pause_seconds: float = 1.0
    statement_seconds: float = 15.0
    turn_seconds: float = 300.0


PATIENCE = Patience()


async def read_record(connection: AsyncConnection) -> Record:
    """What the database remembers of earlier runs; nothing when there was none."""
    found = await connection.execute("SELECT to_regclass('provision.applied_files') IS NOT NULL")
    row = await found.fetchone()
    if row is None or not row[0]:
        return Record()
    applied = await connection.execute("SELECT schema, file, sha256 FROM provision.applied_files")
    hashes = {(schema, file): sha256 for schema, file, sha256 in await applied.fetchall()}
    found = await connection.execute("SELECT to_regclass('provision.owed_files') IS NOT NULL")
    row = await found.fetchone()
    if row is None or not row[0]:
        return Record(hashes)
    owed = await connection.execute("SELECT schema, file FROM provision.owed_files")
    return Record(hashes, {(schema, file) for schema, file in await owed.fetchall()})


async def plan_schemas(
    connection: AsyncConnection, files: Sequence[SchemaFile], *, after_rollout: bool
) -> list[Change]:
    """What `provision_schemas` would run; nothing is. `ProvisionError` when it would be refused."""
    due = due_files(files, await read_record(connection), after_rollout=after_rollout)
    changes = [Change("schema", file.schema, "run", file.name) for file in due.now]
    return changes + [Change("schema", f.schema, "wait", f"{f.name} until --after-rollout") for f in due.later]


async def provision_schemas(
    connection: AsyncConnection,
    logins: Mapping[str, str],
    files: Sequence[SchemaFile],
    *,
    after_rollout: bool,
    patience: Patience = PATIENCE,
) -> list[str]:
    """Run each file that is due in its own transaction, by its role's address among `logins`; what was done, in words.

    `ProvisionError` when a file fails: it has left nothing behind, those before it stay, and the next run begins with
    it.
    """
    due = due_files(files, await read_record(connection), after_rollout=after_rollout)
    roles = sql.SQL(", ").join(map(sql.Identifier, logins))
    await connection.execute(sql.SQL(CREATE_RECORD).format(roles=roles))
    for file in due.now:
        role = f"wepeople_{file.schema}"
        if role not in logins:
            raise ProvisionError(f"The file {file} is of no service: there is no login {role}.")
        async with database_at(logins[role]) as own:
            await end_with_its_machine(own)
            await _apply_patiently(connection, own, file, patience)
    await _owe(connection, [file.key for file in due.later])
    return _words(due)


def _words(due: Due) -> list[str]:
    done = [f"schema {file.schema}: {file.name} applied" for file in due.now] or ["schemas: nothing new"]
    later = [f"schema {file.schema}: {file.name} waits for `wepeople provision --after-rollout`" for file in due.later]
    newer = [f"schema {schema}: {name} is of a newer release, and stays" for schema, name in due.newer]
    return done + later + newer


async def _owe(connection: AsyncConnection, keys: Sequence[FileKey]) -> None:
    async with connection.transaction(), connection.cursor() as cursor:
        await cursor.execute(
            "DELETE FROM provision.owed_files o USING provision.applied_files a "
            "WHERE (a.schema, a.file) = (o.schema, o.file)"
        )
        await cursor.executemany(
            "INSERT INTO provision.owed_files (schema, file) VALUES (%s, %s) ON CONFLICT DO NOTHING", keys
        )


async def _apply_patiently(
    connection: AsyncConnection, own: AsyncConnection, file: SchemaFile, patience: Patience
) -> None:
    """Try on the role's own connection until the locks are to be had."""
    for _ in range(patience.attempts - 1):
        try:
            await _apply(own, file, patience)
            return
        except (LockNotAvailable, DeadlockDetected):
            await asyncio.sleep(patience.pause_seconds)
    try:
        await _apply(own, file, patience)
    except (LockNotAvailable, DeadlockDetected) as error:
        raise ProvisionError(
            f"The file {file} waited {patience.attempts} times {patience.lock_seconds:g} s for its locks and left "
            f"nothing behind. The oldest transactions: {await _oldest_transactions(connection)}. "
            "Let them end, or end them with pg_terminate_backend(pid), and run this again."
        ) from error


async def _apply(own: AsyncConnection, file: SchemaFile, patience: Patience) -> None:
    try:
        async with own.transaction():
            await _limit(own, patience)
            # The text is a file of an installed member, as trusted as its code.
            await own.execute(sql.SQL(file.text))
            await own.execute(
                "INSERT INTO provision.applied_files (schema, file, sha256) VALUES (%s, %s, %s)",
                [file.schema, file.name, file.sha256],
            )
    except (LockNotAvailable, DeadlockDetected):
        raise
    except QueryCanceled as error:
        raise ProvisionError(
            f"The file {file} has a statement that takes longer than {patience.statement_seconds:g} s, and left "
            "nothing behind. Split it; or, if it holds no lock in anybody's way, let it set statement_timeout itself."
        ) from error
    except PostgresError as error:
        raise ProvisionError(f"The file {file} failed and left nothing behind: {error}") from error


async def _limit(connection: AsyncConnection, patience: Patience) -> None:
    """For this transaction; a provisioner that hangs or vanishes in the middle must let go as well."""
    for setting, seconds in (
        ("lock_timeout", patience.lock_seconds),
        ("statement_timeout", patience.statement_seconds),
        ("idle_in_transaction_session_timeout", patience.statement_seconds),
    ):
        await connection.execute("SELECT set_config(%s, %s, true)", [setting, f"{seconds * 1000:.0f}ms"])


async def _oldest_transactions(connection: AsyncConnection) -> str:
    found = await connection.execute(_OLDEST_TRANSACTIONS)
    return ", ".join([line for (line,) in await found.fetchall()]) or "none any more"
