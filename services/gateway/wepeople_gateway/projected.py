"""How far the read models are, as the projector broadcasts it; for those who wait until their rows are visible."""

import asyncio

from nats.aio.client import Client
from nats.aio.msg import Msg

from wepeople_contracts.projection import Projected
from wepeople_contracts.subjects import PARTITIONS, PROJECTED_ALL


class Positions:
    """The last position heard of each partition; positions only grow."""

    def __init__(self) -> None:
        self._sequences = [0] * PARTITIONS
        self._moved = [asyncio.Event() for _ in range(PARTITIONS)]

    async def listen(self, connection: Client) -> None:
        """Hear the projector from now on."""
        await connection.subscribe(PROJECTED_ALL, cb=self._on_projected)

    async def reached(self, partition: int, sequence: int, timeout_seconds: float) -> bool:
        """Whether everything up to `sequence` is visible, waiting at most so long for it."""
        try:
            async with asyncio.timeout(timeout_seconds):
                while self._sequences[partition] < sequence:
                    await self._moved[partition].wait()
        except TimeoutError:
            return False
        return True

    async def _on_projected(self, message: Msg) -> None:
        projected = Projected.model_validate_json(message.data)
        self._sequences[projected.partition] = max(self._sequences[projected.partition], projected.sequence)
        moved, self._moved[projected.partition] = self._moved[projected.partition], asyncio.Event()
        moved.set()
