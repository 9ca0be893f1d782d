"""Takes from a stream what left it by a split, once the stream that it went to is seen to hold the same messages."""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from nats.aio.client import Client

from wepeople_chassis.reader import StreamReader
from wepeople_chassis.stream import BEGINS, StoredMessage, StreamState, state_of, takers
from wepeople_contracts.subjects import partition_filter
from wepeople_provision.errors import ProvisionError
from wepeople_provision.stream_api import Refused, ask, count_of, own_metadata, streams_there
from wepeople_provision.stream_cut import change, markers_of
from wepeople_provision.stream_lock import one_at_a_time
from wepeople_provision.stream_split import unfinished


@dataclass(frozen=True, slots=True)
class Leftover:
    """Messages of a partition in a stream that does not take it any more; `stream` has them too."""

    old: str
    partition: int
    stream: str
    messages: int

    def __str__(self) -> str:
        return f"{self.old}: {self.messages} messages of partition {self.partition}, which is in {self.stream} now"


async def leftovers(connection: Client) -> list[Leftover]:
    """What there is to tidy up; `ProvisionError` while a split is not finished, or its ids still matter.

    Who still reads there is told by the reader itself (`StreamMoved`), and goes on in the stream that has all of it.
    """
    if begun := unfinished(await streams_there(connection)):
        raise ProvisionError(f"A split is not finished ({begun[0]}): run `wepeople stream split` first.")
    streams = await takers(connection)
    states = {state.name: state for state in streams.values()}.values()
    untils = [earlier.until_ns for state in states for earlier in state.earlier_ids]
    if (left := (max(untils, default=0) - time.time_ns()) // 1_000_000_000 + 1) > 0:
        raise ProvisionError(
            f"For {left} s more, the ids of requests from before the last split are looked up in the old stream. "
            "Nothing was purged. Run this again then."
        )
    found = [
        Leftover(state.name, partition, taker.name, count)
        for state in states
        for partition, taker in streams.items()
        if taker.name != state.name
        if (count := await count_of(connection, state.name, [partition_filter(partition)]))
    ]
    return sorted(found, key=lambda leftover: (leftover.old, leftover.partition))


async def tidy(connection: Client, leftover: Leftover) -> None:
    """Compare message by message, then purge; `ProvisionError` when the new stream lacks one, and nothing is purged."""
    old, new = await state_of(connection, leftover.old), await state_of(connection, leftover.stream)
    through = await _last(connection, leftover)
    if missing := await _missing(connection, leftover, old, new, through):
        raise ProvisionError(
            f"{leftover.stream} lacks {len(missing)} messages of partition {leftover.partition} that are in "
            f"{leftover.old}, the first of them at {missing[0].sequence} with the id {missing[0].message_id}. Nothing "
            "of that partition was purged."
        )
    async with one_at_a_time(connection):
        await _say_where_it_begins(connection, old)
    purge = {"filter": partition_filter(leftover.partition), "seq": through + 1}
    await ask(connection, "STREAM.PURGE", leftover.old, purge)


async def end_asking(connection: Client) -> None:
    """Once nothing is left over: no stream is asked any more for ids of before a split."""
    async with one_at_a_time(connection):
        for info in (await streams_there(connection)).values():
            if asked := set(markers_of(info)):
                subjects = [subject for subject in info["config"]["subjects"] if subject not in asked]
                await change(connection, info, subjects=subjects)


async def _last(connection: Client, leftover: Leftover) -> int:
    wanted = {"last_by_subj": partition_filter(leftover.partition)}
    last: int = (await ask(connection, "STREAM.MSG.GET", leftover.old, wanted))["message"]["seq"]
    return last


async def _missing(
    connection: Client, leftover: Leftover, old: StreamState, new: StreamState, through: int
) -> list[StoredMessage]:
    """Messages of the old stream that the new one has not: neither in their place nor, brought along, behind it. What
    was trimmed of the new one since is not missing: who trims has an archive.
    """
    lacking: list[StoredMessage] = []
    async with (
        aclosing(_heads(connection, old, leftover.partition, through)) as theirs,
        aclosing(_heads(connection, new, leftover.partition, through)) as ours,
    ):
        own: StoredMessage | None = None
        async for message in theirs:
            if message.sequence < new.first_sequence:
                continue
            while own is None or own.sequence < message.sequence:
                own = await anext(ours, _NONE_LEFT)
            if own != message:
                lacking.append(message)
    if lacking:
        ended = (await state_of(connection, leftover.stream)).last_sequence
        later = {message.message_id async for message in _heads(connection, new, leftover.partition, ended)}
        lacking = [message for message in lacking if not message.message_id or message.message_id not in later]
    return lacking


_NONE_LEFT = StoredMessage(2**63, "", "", 0, b"")


async def _heads(connection: Client, state: StreamState, partition: int, through: int) -> AsyncGenerator[StoredMessage]:
    """A partition's messages in a stream up to a sequence, without their data: place, subject, id and time."""
    reader = StreamReader(
        connection,
        stream=state.name,
        filter_subject=partition_filter(partition),
        partitions=(),
        after=max(0, state.first_sequence - 1),
        headers_only=True,
    )
    async with aclosing(reader.batches()) as batches:
        async for batch in batches:
            for message in batch.messages:
                if message.sequence <= through:
                    yield message
            if batch.through >= through or batch.pending == 0:
                return


async def _say_where_it_begins(connection: Client, old: StreamState) -> None:
    """Before its first messages go: what is left is all that it ever had of its own partitions."""
    firsts = [await _first(connection, old.name, partition) for partition in sorted(old.partitions)]
    until = min((first for first in firsts if first is not None), default=old.last_sequence + 1)
    info = await ask(connection, "STREAM.INFO", old.name)
    metadata = own_metadata(info["config"]) | {BEGINS: f"{old.first_sequence}/{until}"}
    if metadata != own_metadata(info["config"]):
        await change(connection, info, metadata=metadata)


async def _first(connection: Client, stream: str, partition: int) -> int | None:
    try:
        wanted = {"seq": 1, "next_by_subj": partition_filter(partition)}
        first: int = (await ask(connection, "STREAM.MSG.GET", stream, wanted))["message"]["seq"]
    except Refused:
        return None
    return first
