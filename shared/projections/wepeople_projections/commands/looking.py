"""`wepeople projection list|status`: what there is, and how far it is."""

import asyncio
from collections.abc import Mapping
from typing import Any

from nats.aio.client import Client
from psycopg import AsyncConnection

from wepeople_chassis.operator import Operator, operator_connection, show
from wepeople_chassis.stream import StreamState, takers
from wepeople_projections.commands.choosing import in_words
from wepeople_projections.commands.session import command, connection
from wepeople_projections.commands.targets import Target, all_targets
from wepeople_projections.definition.selection import Selection
from wepeople_projections.postgres.about import About
from wepeople_projections.replay.backlog import count_messages, oldest_age_seconds, stretches
from wepeople_projections.running.ownership import member_count
from wepeople_projections.versions.control import checkpoints, execute, sequences

LIST_COLUMNS = ("projection", "version", "serving_since", "selection", "source")
STATUS_COLUMNS = (
    "projection",
    "state",
    "serving",
    "position",
    "lag_messages",
    "lag_seconds",
    "rows",
    "rows_per_second",
    "parked",
    "waiting",
)
SAMPLE_SECONDS = 1.0
EMPTY = "No projections yet. `wepeople projection new NAME` writes one to begin with."


def list_projections(as_json: bool) -> None:
    """Every version of every projection."""

    async def work(operator: Operator) -> None:
        async with connection(operator.postgres_dsn) as reading:
            targets = await all_targets(reading)
        rows = [
            {
                "projection": target.about.name,
                "version": target.about.version,
                "schema": target.schema,
                "serving_since": target.about.serving_since,
                "paused": target.about.paused,
                "selection": in_words(target.about.selection),
                "on_poison": target.about.on_poison,
                "source": target.about.source,
                "created_at": target.about.created_at,
            }
            for target in targets
        ]
        show(_plain(rows), columns=LIST_COLUMNS, as_json=as_json, empty=EMPTY)

    command(work)


def show_status(name: str | None, as_json: bool) -> None:
    """How far projections are."""

    async def work(operator: Operator) -> None:
        async with connection(operator.postgres_dsn) as reading, operator_connection(operator) as stream:
            targets = await all_targets(reading, name)
            before = [await _rows(reading, target.schema) for target in targets]
            await asyncio.sleep(SAMPLE_SECONDS if targets else 0)
            lines = [await _line(reading, stream, target, rows) for target, rows in zip(targets, before, strict=True)]
        show(_plain(lines), columns=STATUS_COLUMNS, as_json=as_json, empty=EMPTY)

    command(work)


async def _line(reading: AsyncConnection[Any], stream: Client, target: Target, rows_before: int) -> dict[str, Any]:
    # Asked first: a partition of which nothing is left has then all up to there, wherever its last message is.
    streams = await takers(stream)
    found = await checkpoints(reading, target.schema)
    positions = sequences(found)
    asked = stretches(positions, target.about.selection)
    left = await count_messages(stream, asked)
    ages = await asyncio.gather(*(oldest_age_seconds(stream, stretch) for stretch in asked if left[stretch.partition]))
    aside = {line["status"]: line["rows"] for line in await execute(reading, "aside_by_status", target.schema)}
    processes = await member_count(reading, target.schema)
    rows = sum(line.rows for line in found.values())
    [verified] = await execute(reading, "verified_at", target.schema)
    return {
        "projection": target.schema,
        "state": state_of(target.about, processes, {n: streams[n].last_sequence for n in left}, sum(left.values())),
        "serving": "yes" if target.serving else "no",
        "position": whereabouts(target.about.selection, positions, left, streams),
        "lag_messages": sum(left.values()),
        "lag_seconds": round(max(ages, default=0.0), 3),
        "rows": rows,
        "rows_per_second": round((rows - rows_before) / SAMPLE_SECONDS),
        "parked": sum(aside.get(status, 0) for status in ("parked", "retry", "skip")),
        "waiting": aside.get("waiting", 0),
        "skipped": aside.get("skipped", 0),
        "paused": target.about.paused,
        "processes": processes,
        "serving_since": target.about.serving_since,
        "verified_at": verified["verified_at"],
    }


def whereabouts(
    selection: Selection, positions: Mapping[int, int], left: Mapping[int, int], streams: Mapping[int, StreamState]
) -> int | str:
    """Up to where nothing is missing, in each stream that has something of the selection."""
    found = {}
    for name in dict.fromkeys(streams[partition].name for partition in sorted(left)):
        own = {partition: left[partition] for partition in left if streams[partition].name == name}
        part = selection.of_partition(min(own))
        found[name] = position_of(part, positions, own, streams[min(own)].last_sequence)
    if len(found) == 1:
        return next(iter(found.values()))
    return ", ".join(f"{name} {position}" for name, position in found.items())


def position_of(selection: Selection, positions: Mapping[int, int], left: Mapping[int, int], end: int) -> int:
    """Up to where nothing is missing: only partitions of which something is left hold it back."""
    last = selection.to_sequence
    reached = end if last is None else min(end, last)
    return min((positions[partition] for partition, messages in left.items() if messages), default=reached)


def state_of(about: About, processes: int, ends: Mapping[int, int], left: int) -> str:
    """In one word what a version does, while the partitions that it reads end there and so many messages are left."""
    if about.paused:
        return "paused"
    lasts = {partition: about.selection.of_partition(partition).to_sequence for partition in ends}
    if not left and all(last is not None and ends[partition] >= last for partition, last in lasts.items()):
        return "finished"
    return "running" if processes else "stopped"


async def _rows(reading: AsyncConnection[Any], schema: str) -> int:
    return sum(line.rows for line in (await checkpoints(reading, schema)).values())


def _plain(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {name: value.isoformat() if hasattr(value, "isoformat") else value for name, value in row.items()}
        for row in rows
    ]
