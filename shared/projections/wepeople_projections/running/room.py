"""Bounds what all partitions of a process have in memory together."""

import asyncio

ROOM_BYTES = 16 * 1024 * 1024
"""Four batches of the usual size; folded, a batch is some eight times as large."""


class Room:
    """How much of the stream all partitions together have taken on and not written yet: it bounds the memory."""

    def __init__(self, size: int = ROOM_BYTES) -> None:
        self._size = size
        self._used = 0
        self._changed = asyncio.Event()

    async def enter(self, size: int) -> None:
        """Wait until there is room; one that is larger than all of it gets it alone."""
        while self._used and self._used + size > self._size:
            self._changed.clear()
            await self._changed.wait()
        self._used += size

    def leave(self, size: int) -> None:
        """Make room again."""
        self._used -= size
        self._changed.set()
