"""Tells everybody how far the read models are. Who misses it hears the next one: nothing here fails a batch."""

from nats.aio.client import Client

from wepeople_chassis.stream import quietly
from wepeople_contracts.projection import Projected
from wepeople_contracts.subjects import projected_subject


async def announce(connection: Client, partition: int, sequence: int) -> None:
    """Broadcast that everything of the partition up to `sequence` is visible."""
    projected = Projected(partition=partition, sequence=sequence)
    await quietly(connection.publish(projected_subject(partition), projected.model_dump_json().encode()))
