"""What `wepeople archive …` does."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import typer
from nats.aio.client import Client

from wepeople_archive.archive import Archive
from wepeople_archive.errors import StorageAway
from wepeople_archive.names import Shelf
from wepeople_archive.opening import open_archive
from wepeople_archiver.checkpoints import all_readers
from wepeople_archiver.purging import identities, plan_trim, trim
from wepeople_archiver.trimming import Plan
from wepeople_archiver.verifying import verify
from wepeople_chassis.archive_settings import archive_settings
from wepeople_chassis.operator import Operator, fail, operator_connection, run, show, stderr, stdout
from wepeople_chassis.stream import StreamError, StreamState, takers, taking_streams

_MIB = 1024 * 1024
_SHOWN_LIMITS = 3


def show_status(as_json: bool) -> None:
    """Print a line for each partition."""

    async def work(operator: Operator) -> None:
        async with _opened(operator) as (connection, archive):
            rows = []
            for partition, stream in sorted((await takers(connection)).items()):
                rows.append(await _status_of(archive, stream, partition))
        columns = ("partition", "stream", "files", "file_mib", "begins_after", "archived", "verified", "stream_first")
        show(rows, columns=(*columns, "stream_last"), as_json=as_json)

    run(work)


async def _status_of(archive: Archive, stream: StreamState, partition: int) -> dict[str, Any]:
    shelf = Shelf(stream.identity, partition)
    listing = await archive.listing(shelf)
    verified = listing.verified_first
    return {
        "partition": partition,
        "stream": stream.name,
        "history": stream.identity,
        "files": len(listing.files),
        "file_mib": round(sum(listing.files.values()) / _MIB, 1),
        "begins_after": min(listing.files, default=None),
        "archived": await archive.end_of(shelf, list(listing.files)),
        "verified": (await archive.verified(shelf, verified[-1])).through if verified else None,
        "stream_first": stream.first_sequence,
        "stream_last": stream.last_sequence,
    }


def verify_archive(partition: int | None, *, everything: bool, as_json: bool) -> None:
    """Print what was compared; exit 1 when something is wrong."""

    async def work(operator: Operator) -> None:
        async with _opened(operator) as (connection, archive):
            found = sorted((await takers(connection)).items())
            wanted = [(number, stream) for number, stream in found if partition in (None, number)]
            if not wanted:
                fail(f"There is no partition {partition}; there are 0 to {found[-1][0]}.")
            verdicts = [
                await verify(connection, archive, stream, number, everything=everything) for number, stream in wanted
            ]
        rows = [
            {
                "partition": verdict.partition,
                "files": verdict.files,
                "messages_with_stream": verdict.with_stream,
                "messages_with_notes": verdict.with_notes,
                "wrong": verdict.wrong,
            }
            for verdict in verdicts
        ]
        show(rows, columns=tuple(rows[0]), as_json=as_json)
        if wrong := [verdict for verdict in verdicts if verdict.wrong is not None]:
            fail("\n".join(f"Partition {verdict.partition}: {verdict.wrong}." for verdict in wrong), 1)

    run(work)


def trim_streams(*, keep_days: float, left_behind: Sequence[str], yes: bool, as_json: bool) -> None:
    """Plan, show, ask, trim."""

    async def work(operator: Operator) -> None:
        if operator.trimmer_seed is None:
            fail(
                "Only the NATS user `trimmer` may trim: set WEPEOPLE_TRIMMER_SEED, or trimmer_seed in operator.json, "
                "to the seed that `wepeople secrets generate` made (trimmer/wepeople_nats_seed)."
            )
        trimmer = operator.model_copy(update={"nats_seed": operator.trimmer_seed})
        async with _opened(trimmer) as (connection, archive):
            plans = await _plans(connection, archive, operator, keep_days, left_behind)
            if not as_json:
                for _, planned in plans:
                    _tell(planned)
            some = any(planned.trims for _, planned in plans)
            goes = some and (yes or (not as_json and typer.confirm("Trim the stream?")))
            gone = {stream.name: await trim(connection, archive, stream, p) for stream, p in plans if goes and p.trims}
        if as_json:
            show([_as_fields(planned, gone) for _, planned in plans], columns=(), as_json=True)
        for name, messages in gone.items() if not as_json else ():
            stdout.print(f"{name}: {messages:,} messages left the stream; they are in the archive.", highlight=False)

    run(work)


async def _plans(
    connection: Client, archive: Archive, operator: Operator, keep_days: float, left_behind: Sequence[str]
) -> list[tuple[StreamState, Plan]]:
    streams = await taking_streams(connection)
    try:
        readers = await all_readers(operator.postgres_dsn, identities(streams))
    except psycopg.Error as error:
        fail(f"How far the projections are cannot be read: {str(error).strip().splitlines()[0]}", 1)
    if unknown := sorted(set(left_behind) - {reader.name for reader in readers}):
        names = ", ".join(reader.name for reader in readers)
        fail(f"There is no {', '.join(unknown)} that reads the stream; there are {names}.")
    readers = [reader for reader in readers if reader.name not in left_behind]
    return [
        (stream, await plan_trim(connection, archive, stream, readers, keep_days=keep_days, now_ns=time.time_ns()))
        for stream in streams
    ]


def _tell(planned: Plan) -> None:
    what = f"messages {planned.first:,} to {planned.before - 1:,} may go" if planned.trims else "nothing may go yet"
    stdout.print(f"{planned.stream}: {what}. What comes next stays, because", highlight=False)
    for limit in planned.held[:_SHOWN_LIMITS]:
        stdout.print(f"  {limit.why} (from {limit.keeps:,} on)", highlight=False)
    if (more := len(planned.held) - _SHOWN_LIMITS) > 0:
        stdout.print(f"  and for {more} more reasons of the kind", highlight=False)


def _as_fields(planned: Plan, gone: dict[str, int]) -> dict[str, Any]:
    return {
        "stream": planned.stream,
        "first": planned.first,
        "before": planned.before,
        "held": [{"keeps": limit.keeps, "why": limit.why} for limit in planned.held],
        "trimmed_messages": gone.get(planned.stream),
    }


@asynccontextmanager
async def _opened(operator: Operator) -> AsyncIterator[tuple[Client, Archive]]:
    """NATS and the archive; what goes wrong with either is said in a sentence, with exit code 1."""
    settings = archive_settings()
    if not settings.archive_url:
        fail("Where is the archive? Set WEPEOPLE_ARCHIVE_URL as the archiver has it.")
    try:
        async with operator_connection(operator) as connection:
            yield connection, open_archive(settings)
    except StorageAway as error:
        fail(f"The object storage does not answer: {error}", 1)
    except StreamError as error:
        fail(f"{error}.", 1)
    except asyncio.CancelledError:
        stderr.print("Stopped. What was begun can be asked again.")
        raise
