"""The part of the streams that the read models have not passed yet."""

import asyncio
from collections.abc import Mapping
from contextlib import aclosing

from nats.aio.client import Client

from wepeople_chassis.reader import StreamReader
from wepeople_chassis.stream import StoredMessage, StreamState, taking_streams
from wepeople_chassis.tasks import end
from wepeople_contracts.envelope import decode
from wepeople_contracts.subjects import STREAM_SUBJECTS

SEARCH_SECONDS = 10.0


class SearchTooLong(Exception):
    """So much waits to be projected that the search was given up."""


async def find_waiting(connection: Client, request_id: str, positions: Mapping[int, int]) -> StoredMessage | None:
    """The message of a request among those after each partition's position; `SearchTooLong` when they are too many,
    `TimeoutError` while no stream takes some partition, where it may be.
    """
    streams = await taking_streams(connection)
    searches = [asyncio.create_task(_search(connection, request_id, state, positions)) for state in streams]
    try:
        async with asyncio.timeout(SEARCH_SECONDS):
            for search in asyncio.as_completed(searches):
                if (found := await search) is not None:
                    return found
    except TimeoutError:
        raise SearchTooLong from None
    finally:
        await end(searches)
    return None


async def _search(
    connection: Client, request_id: str, state: StreamState, positions: Mapping[int, int]
) -> StoredMessage | None:
    """Search one stream, from the first of its partitions' positions on."""
    position = max(min(positions.get(n, 0) for n in state.partitions), state.first_sequence - 1)
    reader = StreamReader(
        connection,
        stream=state.name,
        filter_subject=STREAM_SUBJECTS,
        partitions=state.partitions,
        after=position,
    )
    async with aclosing(reader.batches()) as batches:
        while position < state.last_sequence:
            batch = await anext(batches)
            found = next((message for message in batch.messages if _is_of(message, request_id)), None)
            if found is not None:
                return found
            position = batch.through
    return None


def _is_of(message: StoredMessage, request_id: str) -> bool:
    if request_id.encode() not in message.data:
        return False
    try:
        return decode(message.data).request_id == request_id
    except ValueError:
        return False
