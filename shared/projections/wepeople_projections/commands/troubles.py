"""What went wrong with Postgres, in words; a hint only where it is about that."""

import psycopg
from psycopg_pool import PoolTimeout

_AWAY = ("08", "57P")
"""SQLSTATEs of a server that is not there: no connection, shutting down, starting up."""
_NOT_PROVISIONED = ("28", "3D", "42501")
"""SQLSTATEs of a role, a password, a database or a right that is missing."""
_FULL = ("53300", "connection slots", "too many clients", "too many connections")


def postgres_trouble(error: psycopg.Error | PoolTimeout) -> str:
    """One sentence or two for whoever typed the command."""
    text = _first_line(error)
    code = getattr(error, "sqlstate", None) or ""
    if isinstance(error, psycopg.errors.LockNotAvailable):
        return "A long query or transaction reads these tables. Wait until it has ended, and run this again."
    if isinstance(error, psycopg.errors.UndefinedTable | psycopg.errors.InvalidSchemaName):
        return f"Tables are gone: {text}. Was this version dropped meanwhile?"
    if any(mark in (code, text) or mark in text for mark in _FULL):
        return f"Postgres has too many connections: {text}. End some of what is connected, and run this again."
    if code.startswith(_NOT_PROVISIONED) or (not code and "FATAL:" in text):
        return f"Postgres refused: {text}. Is this release provisioned, and is this the DSN of the right role?"
    if isinstance(error, psycopg.OperationalError | PoolTimeout) and (not code or code.startswith(_AWAY)):
        return f"Postgres does not answer: {text}. Is the system running?"
    return f"Postgres refused: {text}."


def _first_line(error: Exception) -> str:
    return (str(error).strip() or repr(error)).splitlines()[0].rstrip(".")
