"""Trimming a stream: noted in the archive first, then asked of the server."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime

from nats.aio.client import Client

from wepeople_archive.archive import Archive, Trimmed
from wepeople_archive.errors import ArchiveError
from wepeople_archive.names import Shelf
from wepeople_archiver.places import being_read, next_of
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
    return plan(
        stream=stream.name,
        partitions=stream.partitions,
        first=stream.first_sequence,
        last=stream.last_sequence,
        unverified=unverified,
        readers=readers,
        being_read=await being_read(connection, stream.name),
        young_from=await sequence_since(connection, stream.name, now_ns - int(kept_seconds * 1e9)),
    )


async def _unverified(connection: Client, archive: Archive, stream: StreamState, partition: int) -> int | None:
    """The first message of a partition that is in no verified file, which must follow on the archive without a gap."""
    shelf = Shelf(stream.identity, partition)
    end = await archive.verified_through(shelf, await archive.listing(shelf), stream.first_sequence - 1)
    return await next_of(connection, stream.name, partition, end or 0)


async def trim(connection: Client, archive: Archive, stream: StreamState, planned: Plan) -> int:
    """Let go what was planned; how many messages went. The note comes first: a reader that finds them gone from the
    stream finds there that the archive has them all.
    """
    # A message that exists, so that the stream begins exactly there afterwards.
    before = await next_of(connection, stream.name, None, planned.before - 1)
    # A stream that was split from another begins where that one did, which may be before its first message.
    if before is None or before == await next_of(connection, stream.name, None, stream.first_sequence - 1):
        return 0
    for partition in sorted(stream.partitions):
        await _note(archive, stream, partition, before)
    # Who reads below it by now would miss what goes, and not notice: nothing in the stream says how many there were.
    if (reading := await being_read(connection, stream.name)) is not None and reading < before:
        raise ArchiveError(f"somebody has begun to read {stream.name} at {reading}: nothing was trimmed; try again")
    return await _purge(connection, stream.name, before)


async def _note(archive: Archive, stream: StreamState, partition: int, before: int) -> None:
    shelf = Shelf(stream.identity, partition)
    listing = await archive.listing(shelf)
    earlier = [start for start in listing.verified_first if start < before]
    last = min((await archive.verified(shelf, earlier[-1])).through, before - 1) if earlier else 0
    begin = await archive.begin_of(shelf, stream.first_sequence) if not listing.files else min(listing.files)
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
