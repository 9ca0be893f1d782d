"""How much of the stream lies before a projection: counted by the server, partition by partition."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from nats.aio.client import Client
from nats.js.errors import NotFoundError

from wepeople_chassis.stream import create_consumer, delete_consumer
from wepeople_contracts.subjects import STREAM, partition_filter


@dataclass(frozen=True, slots=True)
class Stretch:
    """A partition's messages after one sequence up to and including another (None: to the end)."""

    partition: int
    after: int
    through: int | None = None


async def count_messages(connection: Client, stretches: list[Stretch]) -> Mapping[int, int]:
    """How many messages each stretch has, by partition; `StreamError` when there is no stream."""
    counts = await asyncio.gather(*(_count(connection, stretch) for stretch in stretches))
    return {stretch.partition: count for stretch, count in zip(stretches, counts, strict=True)}


async def oldest_age_seconds(connection: Client, stretch: Stretch) -> float:
    """The age of the stretch's first message; 0 when it has none."""
    try:
        first = await connection.jetstream().get_msg(
            STREAM, seq=stretch.after + 1, subject=partition_filter(stretch.partition), next=True
        )
    except NotFoundError:
        return 0.0
    assert first.time is not None
    assert first.seq is not None
    if stretch.through is not None and first.seq > stretch.through:
        return 0.0
    return max((datetime.now(UTC) - first.time).total_seconds(), 0.0)


async def _count(connection: Client, stretch: Stretch) -> int:
    if stretch.through is not None and stretch.through <= stretch.after:
        return 0
    behind = await _pending(connection, stretch.partition, stretch.after)
    beyond = await _pending(connection, stretch.partition, stretch.through) if stretch.through and behind else 0
    return behind - beyond


async def _pending(connection: Client, partition: int, after: int) -> int:
    # A consumer counts what it would deliver; it is never read from.
    start = {"deliver_policy": "by_start_sequence", "opt_start_seq": after + 1}
    consumer = await create_consumer(connection, start, partition_filter(partition))
    await delete_consumer(connection, consumer["name"])
    pending: int = consumer["num_pending"]
    return pending
