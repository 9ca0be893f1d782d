"""The part of the stream that the read models have not passed yet."""

import asyncio
from contextlib import aclosing

from nats.aio.client import Client

from wepeople_chassis.reader import StreamReader
from wepeople_chassis.stream import StoredMessage, stream_states
from wepeople_contracts.envelope import decode
from wepeople_contracts.subjects import STREAM_SUBJECTS

SEARCH_SECONDS = 10.0


class SearchTooLong(Exception):
    """So much waits to be projected that the search was given up after the messages up to `position`."""

    def __init__(self, position: int) -> None:
        super().__init__(f"searched up to {position}")
        self.position = position


async def find_waiting(connection: Client, request_id: str, after: int) -> StoredMessage | None:
    """The message of a request among those after a sequence; `SearchTooLong` when they are too many."""
    [state] = await stream_states(connection)
    position = max(after, state.first_sequence - 1)
    reader = StreamReader(connection, stream=state.name, filter_subject=STREAM_SUBJECTS, after=position)
    try:
        async with asyncio.timeout(SEARCH_SECONDS), aclosing(reader.batches()) as batches:
            while position < state.last_sequence:
                batch = await anext(batches)
                found = next((message for message in batch.messages if _is_of(message, request_id)), None)
                if found is not None:
                    return found
                position = batch.through
    except TimeoutError:
        raise SearchTooLong(position) from None
    return None


def _is_of(message: StoredMessage, request_id: str) -> bool:
    if request_id.encode() not in message.data:
        return False
    try:
        return decode(message.data).request_id == request_id
    except ValueError:
        return False
