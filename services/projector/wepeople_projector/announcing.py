"""Tells everybody how far the read models are. Who misses it hears the next one: nothing here fails a batch."""

from collections.abc import Callable

from nats.aio.client import Client

from wepeople_chassis.stream import quietly
from wepeople_contracts.projection import Projected
from wepeople_contracts.subjects import projected_subject
from wepeople_projections.folding.position import Position


class Announcer:
    """Broadcasts each commit while readers see the tables that it was made to, as `serves` says."""

    def __init__(self, connection: Client, serves: Callable[[], bool]) -> None:
        self._connection = connection
        self._serves = serves

    async def committed(self, partition: int, position: Position, rows: int, pending: int) -> None:
        """Everything of the partition up to the position is visible."""
        if self._serves():
            projected = Projected(partition=partition, sequence=position.sequence, pending=pending)
            await quietly(self._connection.publish(projected_subject(partition), projected.model_dump_json().encode()))
