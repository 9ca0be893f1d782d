"""Which quota process counts: the one that took the highest epoch."""

import os
import socket

from wepeople_chassis.postgres import Pool


class Fenced(Exception):
    """Another process took a higher epoch: this one must stop, and must not write."""

    def __init__(self, epoch: int) -> None:
        super().__init__(f"another quota process took over after epoch {epoch}; this one stops and saves nothing")
        self.epoch = epoch


_TAKE = """
INSERT INTO quota.ownership AS held (epoch, owner) VALUES (1, %s)
ON CONFLICT (singleton) DO UPDATE SET epoch = held.epoch + 1, owner = EXCLUDED.owner, taken_at = now()
RETURNING epoch
"""


async def take(pool: Pool) -> int:
    """Become the owner; from now on no older process can save. Returns the epoch; `psycopg.Error` as it comes."""
    async with pool.connection() as connection:
        cursor = await connection.execute(_TAKE, (f"{socket.gethostname()}:{os.getpid()}",))
        row = await cursor.fetchone()
        assert row is not None
        return int(row[0])
