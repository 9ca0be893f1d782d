"""How long a transaction waits for locks."""

from typing import Any

from psycopg import AsyncConnection


async def wait_at_most(connection: AsyncConnection[Any], seconds: float) -> None:
    """Within the transaction, wait no longer for a lock; `psycopg.errors.LockNotAvailable` then."""
    await connection.execute("SELECT set_config('lock_timeout', %s, true)", [f"{seconds * 1000:.0f}ms"])
