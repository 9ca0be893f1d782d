"""Putting an envelope into the stream: acknowledged after fsync, repeated with the same id until the deadline.

Why not JetStream's own client call: the outcome of every attempt must be known as one of stored, not stored, and open
(design §4, Publishing).
"""

import asyncio
import base64
import json
import time
from dataclasses import dataclass
from typing import Any

from nats.aio.client import Client
from nats.errors import (
    ConnectionClosedError,
    ConnectionReconnectingError,
    MaxPayloadError,
    NoRespondersError,
    OutboundBufferLimitError,
)

from wepeople_chassis.broker import BROKER_DOWN
from wepeople_chassis.stream import StreamError
from wepeople_chassis.tracing import carried, is_tracing, span
from wepeople_contracts.envelope import MSG_ID_HEADER
from wepeople_contracts.subjects import partition_token
from wepeople_gateway.ingest.places import Places, StillOpen
from wepeople_gateway.metrics import publish_seconds

_ATTEMPT_SECONDS = 2.0
_PAUSE_SECONDS = 0.05
_IN_PROCESS = 10158
"""JetStream's error for a message id whose first copy is still on its way to a quorum: ask again."""

_EXPECTED_STREAM = "Nats-Expected-Stream"
_ANOTHER_STREAM = 10060
"""Its error when the subject is another stream's than was expected: it was split, and may not know earlier ids."""

_MAX_HEADER_BYTES = 1024

_LARGE_BYTES = 1024 * 1024
"""Such envelopes are published one at a time: the stream takes one after another, and each holds up those behind it for
as long as nine mebibytes take to the disk.
"""


@dataclass(frozen=True, slots=True)
class Stored:
    """A stream holds the message id at `sequence`; `duplicate` when it did before this publish."""

    stream: str
    sequence: int
    duplicate: bool


class NotStored(Exception):
    """The stream does not hold the message and never will: the reservation can be given back."""


class OutcomeUnknown(Exception):
    """An attempt was sent and not answered: the message may be stored; only a retry with the same id can tell."""


class Publisher:
    """Publishes on a connection of its own, which must not buffer (`pending_size=0`): its buffer would store a request
    after its 503.
    """

    def __init__(self, connection: Client, deadline_seconds: float) -> None:
        self._connection = connection
        self._deadline_seconds = deadline_seconds
        self._large = asyncio.Lock()
        self._places = Places(connection)

    async def publish(self, subject: str, message_id: str, payload: bytes) -> Stored:
        """Store the payload once; `NotStored` or `OutcomeUnknown` when the deadline passes first."""
        began = time.perf_counter()
        try:
            if not is_tracing():
                return await self._publish(subject, payload, {MSG_ID_HEADER: message_id})
            with span("publish", "producer"):
                return await self._publish(subject, payload, {MSG_ID_HEADER: message_id} | carried())
        finally:
            publish_seconds.observe(time.perf_counter() - began)

    async def _publish(self, subject: str, payload: bytes, headers: dict[str, str]) -> Stored:
        # The server closes a client that exceeds it, for good, with all its neighbours in flight.
        if len(payload) + _MAX_HEADER_BYTES > self._connection.max_payload:
            raise NotStored(f"the envelope of {len(payload)} bytes is larger than NATS takes")
        deadline = time.monotonic() + self._deadline_seconds
        if len(payload) < _LARGE_BYTES:
            return await self._repeat(subject, payload, headers, deadline)
        try:
            await asyncio.wait_for(self._large.acquire(), self._deadline_seconds)
        except TimeoutError as error:
            raise NotStored(f"its turn did not come within {self._deadline_seconds:g} s") from error
        try:
            return await self._repeat(subject, payload, headers, deadline)
        finally:
            self._large.release()

    async def _repeat(self, subject: str, payload: bytes, headers: dict[str, str], deadline: float) -> Stored:
        partition = int(partition_token(subject))
        attempt_open = False
        while (left := deadline - time.monotonic()) > 0:
            try:
                async with asyncio.timeout(left):
                    place = await self._places.of(partition)
                    known = await self._places.known_earlier(place, headers[MSG_ID_HEADER])
            except (StillOpen, StreamError, *BROKER_DOWN):
                # Nothing was sent yet; of a stream that is split just now, nobody takes what moves for a moment.
                self._places.forget(partition)
                await asyncio.sleep(max(0.0, min(deadline - time.monotonic(), _PAUSE_SECONDS)))
                continue
            if known is not None:
                return Stored(known.stream, known.sequence, duplicate=True)
            left = max(0.0, deadline - time.monotonic())
            try:
                reply = await self._connection.request(
                    subject,
                    payload,
                    timeout=min(left, _ATTEMPT_SECONDS),
                    headers=headers | {_EXPECTED_STREAM: place.name},
                )
            except (OutboundBufferLimitError, ConnectionClosedError, ConnectionReconnectingError, NoRespondersError):
                # Nothing was sent, or nobody was there to take it.
                self._places.forget(partition)
                await asyncio.sleep(min(left, _PAUSE_SECONDS))
                continue
            except MaxPayloadError as error:
                raise NotStored(str(error)) from error
            except BROKER_DOWN:
                attempt_open = True
                continue
            ack: dict[str, Any] = json.loads(reply.data)
            if "error" not in ack:
                return Stored(ack["stream"], ack["seq"], ack.get("duplicate", False))
            if ack["error"].get("err_code") == _ANOTHER_STREAM:
                self._places.forget(partition)
                continue
            if ack["error"].get("err_code") != _IN_PROCESS and not attempt_open:
                raise NotStored(ack["error"].get("description", "refused by JetStream"))
            await asyncio.sleep(min(left, _PAUSE_SECONDS))
        if attempt_open:
            raise OutcomeUnknown(f"no answer on {subject} within {self._deadline_seconds:g} s")
        raise NotStored(f"nobody took the message within {self._deadline_seconds:g} s")

    async def read(self, stream: str, sequence: int) -> bytes:
        """The stored message at a sequence of a stream, asked of its leader; `NotStored` when it is no longer there."""
        reply = await self._connection.request(
            f"$JS.API.STREAM.MSG.GET.{stream}", json.dumps({"seq": sequence}).encode(), timeout=_ATTEMPT_SECONDS
        )
        found = json.loads(reply.data)
        if "error" in found:
            raise NotStored(f"sequence {sequence} of {stream}: {found['error'].get('description')}")
        return base64.b64decode(found["message"]["data"])
