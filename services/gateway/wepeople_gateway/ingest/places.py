"""Which stream takes each partition: asked of the server, and again when a stream says that it is not the one.

A stream that was split from another does not know the message ids that the other was told before. For as long as they
matter the other is asked first, by a publish that it can only refuse: as a duplicate, or for a header.
"""

import asyncio
import json
import time
from typing import Any, NamedTuple

from nats.aio.client import Client

from wepeople_chassis.stream import StreamState, stream_of
from wepeople_contracts.envelope import MSG_ID_HEADER

_ASK_SECONDS = 2.0
_REFUSED = {"Nats-Rollup": "never"}
"""No stream of ours takes a message with this; but that it is a duplicate it says before it says that. Other headers of
the kind are looked at before the id where there is one copy, or mark the id as under way where there are three.
"""

_IT_IS = 10111
"""JetStream's error for that header: so the id is not known."""


class Known(NamedTuple):
    """A stream that holds a message id, and at which sequence."""

    stream: str
    sequence: int


class StillOpen(Exception):
    """The stream cannot say yet whether it holds a message id."""


class Places:
    """Remembers the answers; `BROKER_DOWN` and `StreamError` while there is none."""

    def __init__(self, connection: Client) -> None:
        self._connection = connection
        self._found: dict[int, StreamState] = {}
        self._asking = asyncio.Lock()

    async def of(self, partition: int) -> StreamState:
        """The stream that took the partition when it was asked last."""
        if (known := self._found.get(partition)) is not None:
            return known
        async with self._asking:
            if partition not in self._found:
                self._found[partition] = await stream_of(self._connection, partition)
            return self._found[partition]

    def forget(self, partition: int) -> None:
        """It is another now, or nobody's for a moment: ask again."""
        self._found.pop(partition, None)

    async def known_earlier(self, stream: StreamState, message_id: str) -> Known | None:
        """Where a message id is that came before the stream was split from another; `StillOpen` if that is not sure."""
        now = time.time_ns()
        for earlier in stream.earlier_ids:
            if now < earlier.until_ns and (known := await self._ask(earlier.subject, message_id)) is not None:
                return known
        return None

    async def _ask(self, subject: str, message_id: str) -> Known | None:
        headers = {MSG_ID_HEADER: message_id} | _REFUSED
        reply = await self._connection.request(subject, b"", timeout=_ASK_SECONDS, headers=headers)
        ack: dict[str, Any] = json.loads(reply.data)
        if (error := ack.get("error")) is None:
            return Known(ack["stream"], ack["seq"])
        if error.get("err_code") == _IT_IS:
            return None
        raise StillOpen(error.get("description"))
