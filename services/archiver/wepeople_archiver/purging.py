"""Trimming a stream: noted in the archive first, then asked of the server."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime

from nats.aio.client import Client

from wepeople_archive.archive import Archive, Trimmed
from wepeople_archive.errors import ArchiveError
from wepeople_archive.names import Shelf
from wepeople_archiver.places import held_by_others, last_of, next_of
from wepeople_archiver.trimming import Plan, Reader, plan
from wepeople_chassis.stream import StreamState, sequence_since, state_of

PURGE_SECONDS = 120.0
WINDOWS = 2
"""So many duplicate windows stay: a duplicate of a message that is gone would be acknowledged and could not be read."""
_DAY_SECONDS = 86_400


async def plan_trim(
    connection: Client, archive: Archive, stream: StreamState, readers: list[Reader], *, keep_days: float, now_ns: int
) -> Plan:
    """What may go of a stream now."""
    unverified = {
        partition: await _unverified(connection, archive, stream, partition) for partition in stream.partitions
    }
    kept_seconds = max(WINDOWS * stream.duplicate_window_seconds, keep_days * _DAY_SECONDS)
    # A stream that was split from another begins where that one did, which may be before its first message, and what
    # it has last may be the split's marker.
    first = await next_of(connection, stream.name, None, stream.first_sequence - 1) or stream.first_sequence
    return plan(
        stream=stream.name,
        partitions=stream.partitions,
        first=first,
        last=await last_of(connection, stream.name) or first,
        unverified=unverified,
        readers=readers,
        others=await held_by_others(connection, stream),
        young_from=await sequence_since(connection, stream.name, now_ns - int(kept_seconds * 1e9)),
    )


async def _unverified(connection: Client, archive: Archive, stream: StreamState, partition: int) -> int | None:
    """The first message of a partition that is in no verified file, which must follow on the archive without a gap."""
    shelf = Shelf(stream.identity, partition)
    end = await archive.verified_through(shelf, await archive.listing(shelf), stream.first_sequence - 1)
    return await next_of(connection, stream.name, partition, end or 0)


async def trim(connection: Client, archive: Archive, stream: StreamState, planned: Plan) -> int:
    """Let go what was planned; how many messages went. `ArchiveError` when something is not as it was, and then nothing
    went. What goes is read back once more, and the note comes before the purge: a reader that finds messages gone from
    the stream finds there that the archive has them all.
    """
    await _require_same(connection, stream)
    # A message that exists, so that the stream begins exactly there afterwards.
    before = await next_of(connection, stream.name, None, planned.before - 1)
    if before is None or not planned.trims:
        return 0
    lasts = {
        partition: await _read_back(connection, archive, stream, partition, before)
        for partition in sorted(stream.partitions)
    }
    for partition, last in lasts.items():
        await _note(archive, stream, partition, last, before)
    # That took its time, and whoever reads below would miss what goes, and not notice: nothing in the stream says how
    # many messages there were.
    await _require_same(connection, stream)
    for limit in await held_by_others(connection, stream):
        if limit.keeps < before:
            raise ArchiveError(f"{stream.name}: {limit.why} (from {limit.keeps} on): nothing was trimmed; try again")
    return await _purge(connection, stream.name, before)


async def _require_same(connection: Client, stream: StreamState) -> None:
    now = await state_of(connection, stream.name)
    if (now.identity, now.partitions) != (stream.identity, stream.partitions):
        raise ArchiveError(f"{stream.name} is another one by now, restored or split: nothing was trimmed; try again")


async def _read_back(connection: Client, archive: Archive, stream: StreamState, partition: int, before: int) -> int:
    """The last sequence of what the archive has of a partition before another; each file of what goes is read again."""
    shelf = Shelf(stream.identity, partition)
    files = (await archive.listing(shelf)).verified_first
    begin = reached = max((start for start in files if start < stream.first_sequence), default=0)
    for start in files:
        if start == reached and begin <= start < before:
            reached = (await archive.file(shelf, start)).contents.through
    missed = await next_of(connection, stream.name, partition, reached)
    if missed is not None and missed < before:
        raise ArchiveError(f"message {missed} of partition {partition} is in no verified file: nothing was trimmed")
    return min(reached, before - 1)


async def _note(archive: Archive, stream: StreamState, partition: int, last: int, before: int) -> None:
    shelf = Shelf(stream.identity, partition)
    files = (await archive.listing(shelf)).files
    begin = min(files) if files else await archive.begin_of(shelf, stream.first_sequence)
    mark = Trimmed(stream=stream.name, after=begin, last=last, before=before, trimmed_at=datetime.now(UTC).isoformat())
    await archive.note_trimmed(shelf, mark)


async def _purge(connection: Client, stream: str, before: int) -> int:
    """All of the stream before a sequence: whole blocks go. By subjects the server would look at each message."""
    request = json.dumps({"seq": before}).encode()
    reply = json.loads((await connection.request(f"$JS.API.STREAM.PURGE.{stream}", request, PURGE_SECONDS)).data)
    if error := reply.get("error"):
        raise ArchiveError(f"the server does not purge {stream}: {error.get('description')}")
    state = await state_of(connection, stream)
    if state.first_sequence != before:
        raise ArchiveError(f"{stream} begins at {state.first_sequence} after it was purged up to {before}")
    purged: int = reply["purged"]
    return purged


def identities(streams: list[StreamState]) -> Mapping[int, str]:
    """Of each partition's history."""
    return {partition: stream.identity for stream in streams for partition in stream.partitions}
