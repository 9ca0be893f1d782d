"""Messages that are published as the gateway does while a stream is split, and what the streams hold of them after."""

import asyncio
import base64
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from nats.aio.client import Client

from wepeople_chassis.broker import NatsAddress, connect
from wepeople_contracts.subjects import PARTITIONS, partition_filter
from wepeople_gateway.ingest.publish import Publisher, Stored
from wepeople_provision.stream_api import streams_there
from wepeople_provision.stream_layout import halves
from wepeople_provision.stream_split import Done, carry_out, places

PUBLISHERS = 8
DEADLINE_SECONDS = 5.0
"""The gateway's own."""


def subject_in(partition: int) -> str:
    """Of a message of the partition."""
    return f"ingest.{partition}.org_1.app_1.events"


class Killed(BaseException):
    """Ends a process of ours as a SIGKILL would: no code of ours hears of it."""


@dataclass
class Load:
    """Publishes to all partitions at once, and keeps every answer by the message's id."""

    publisher: Publisher
    answers: dict[str, Stored] = field(default_factory=dict)
    longest_seconds: float = 0.0
    _stopped: bool = False
    _running: list[asyncio.Task[None]] = field(default_factory=list)

    def start(self) -> None:
        """From now on."""
        self._running = [asyncio.create_task(self._publish(number)) for number in range(PUBLISHERS)]

    async def stop(self) -> None:
        """Until each has its answer; what one got instead is raised."""
        self._stopped = True
        await asyncio.gather(*self._running)

    async def more(self, count: int = 200) -> None:
        """Return after so many answers more."""
        wanted = len(self.answers) + count
        while len(self.answers) < wanted and not any(task.done() for task in self._running):
            await asyncio.sleep(0.01)

    async def _publish(self, number: int) -> None:
        count = 0
        while not self._stopped:
            partition = (number + count * PUBLISHERS) % PARTITIONS
            message_id = f"{number}-{count}-{partition}"
            count += 1
            began = time.monotonic()
            stored = await self.publisher.publish(subject_in(partition), message_id, message_id.encode())
            self.answers[message_id] = stored
            self.longest_seconds = max(self.longest_seconds, time.monotonic() - began)


@asynccontextmanager
async def load(url: str, deadline_seconds: float = DEADLINE_SECONDS) -> AsyncIterator[Load]:
    """Begun, and ended with every answer there."""
    publishing = await connect(NatsAddress(url), "tests-publish", pending_size=0)
    running = Load(Publisher(publishing, deadline_seconds))
    running.start()
    try:
        yield running
    finally:
        await running.stop()
        await publishing.close()


def partition_of_id(message_id: str) -> int:
    """Of a message of the load."""
    return int(message_id.rpartition("-")[2])


async def split_stream(connection: Client, name: str, say: Callable[[str], None] = lambda _: None) -> Done:
    """Split one stream into halves."""
    there = {place.name: place for place in places(await streams_there(connection))}
    return await carry_out(connection, halves(there[name]), say)


async def texts(connection: Client, stream: str, partition: int) -> dict[int, str]:
    """What a stream holds of a partition, by sequence."""
    found: dict[int, str] = {}
    after = 0
    while True:
        wanted = {"seq": after + 1, "next_by_subj": partition_filter(partition)}
        reply = await connection.request(f"$JS.API.STREAM.MSG.GET.{stream}", json.dumps(wanted).encode(), timeout=5)
        message = json.loads(reply.data).get("message")
        if message is None:
            return found
        after = message["seq"]
        found[after] = base64.b64decode(message["data"]).decode()


async def wrongs(connection: Client, answers: dict[str, Stored], takers: dict[int, str]) -> list[str]:
    """What is not as the publishers were told, where each partition's stream is `takers`; in words."""
    wrong: list[str] = []
    for partition, stream in takers.items():
        held = await texts(connection, stream, partition)
        told = {
            message_id: stored.sequence
            for message_id, stored in answers.items()
            if partition_of_id(message_id) == partition
        }
        wrong += [f"{name} is not at {seq} of {stream}" for name, seq in told.items() if held.get(seq) != name]
        wrong += [f"{name} is there {times} times" for name, times in Counter(held.values()).items() if times > 1]
        wrong += [f"{name} was never answered" for name in set(held.values()) - told.keys()]
    return wrong
