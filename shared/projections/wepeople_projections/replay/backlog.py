"""How much of the stream lies before a projection: counted by the server, partition by partition."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from nats.aio.client import Client
from nats.js.errors import NotFoundError

from wepeople_chassis.stream import StreamState, create_consumer, delete_consumer, stream_of, takers
from wepeople_projections.definition.selection import Selection
from wepeople_projections.running.reading import last_position, reading_filter

EVERYTHING = Selection()


@dataclass(frozen=True, slots=True)
class Stretch:
    """What a partition has under a filter after one sequence, up to and including another (None: to the end)."""

    partition: int
    filter_subject: str
    after: int
    through: int | None


def stretches(
    positions: Mapping[int, int], selection: Selection, until: Mapping[int, int] | None = None
) -> list[Stretch]:
    """What is to be read after these positions; nothing of partitions that cannot have what is selected."""
    filters = {partition: reading_filter(partition, selection) for partition in positions}
    return [
        Stretch(partition, filter_subject, positions[partition], last_position(partition, selection, until))
        for partition, filter_subject in filters.items()
        if filter_subject is not None
    ]


async def backlog_of(
    connection: Client,
    positions: Mapping[int, int],
    streams: Mapping[int, StreamState],
    selection: Selection = EVERYTHING,
) -> tuple[int, float]:
    """Messages selected that these streams have and that are not applied yet, and the age in seconds of the oldest."""
    behind_at = {p: sequence for p, sequence in positions.items() if sequence < streams[p].last_sequence}
    left = stretches(behind_at, selection)
    counts = await count_messages(connection, left, streams)
    behind = [stretch for stretch in left if counts[stretch.partition]]
    ages = await asyncio.gather(*(oldest_age_seconds(connection, stretch) for stretch in behind))
    return sum(counts.values()), round(max(ages, default=0.0), 3)


async def count_messages(
    connection: Client, asked: Sequence[Stretch], streams: Mapping[int, StreamState] | None = None
) -> dict[int, int]:
    """How many messages each stretch has, by partition, in these streams, or in those that there are.

    `StreamError` when there is none, `TimeoutError` while none takes some partition.
    """
    if streams is None:
        streams = await takers(connection) if asked else {}
    counts = await asyncio.gather(*(_count(connection, streams[stretch.partition].name, stretch) for stretch in asked))
    return {stretch.partition: count for stretch, count in zip(asked, counts, strict=True)}


async def oldest_age_seconds(connection: Client, stretch: Stretch) -> float:
    """The age of the stretch's first message; 0 when it has none."""
    try:
        stream = await stream_of(connection, stretch.partition)
        first = await connection.jetstream().get_msg(
            stream.name, seq=stretch.after + 1, subject=stretch.filter_subject, next=True
        )
    except NotFoundError:
        return 0.0
    assert first.time is not None
    assert first.seq is not None
    if stretch.through is not None and first.seq > stretch.through:
        return 0.0
    return max((datetime.now(UTC) - first.time).total_seconds(), 0.0)


async def _count(connection: Client, stream_name: str, stretch: Stretch) -> int:
    if stretch.through is None:
        return await _pending(connection, stream_name, stretch, stretch.after)
    if stretch.through <= stretch.after:
        return 0
    behind = await _pending(connection, stream_name, stretch, stretch.after)
    return behind - await _pending(connection, stream_name, stretch, stretch.through) if behind else 0


async def _pending(connection: Client, stream_name: str, stretch: Stretch, after: int) -> int:
    # A consumer counts what it would deliver; it is never read from.
    start = {"deliver_policy": "by_start_sequence", "opt_start_seq": after + 1}
    consumer = await create_consumer(connection, stream_name, start, stretch.filter_subject)
    await delete_consumer(connection, stream_name, consumer["name"])
    pending: int = consumer["num_pending"]
    return pending
