"""`python -m bench.reading`: the bare limit of a replay. Every message of the stream into this process, and no more.

A `ReadSpec` on stdin, messages/s out. One pull consumer of everything, asked again before it has run dry; nothing is
looked at but the end of each pull. `StreamReader` costs more: it proves that no message is missing, and cuts batches.
"""

import asyncio
import json
import sys
import time

import msgspec
import uvloop
from msgspec import Struct
from nats.aio.msg import Msg

from wepeople_chassis.broker import NatsAddress, connect
from wepeople_chassis.logging import configure_logging
from wepeople_chassis.stream import create_consumer
from wepeople_contracts.subjects import STREAMS

PULL = 256
_LIMIT_SECONDS = 120.0


class ReadSpec(Struct, frozen=True):
    """Where the stream is, and how many messages are read from its first on."""

    nats_url: str
    messages: int


async def read(spec: ReadSpec) -> float:
    """Messages per second, from the first asking to the last message."""
    connection = await connect(NatsAddress(spec.nats_url), "bench-reading")
    consumer = (await create_consumer(connection, STREAMS[0], {"deliver_policy": "all"}))["name"]
    inbox = connection.new_inbox()
    request = json.dumps({"batch": PULL, "expires": int(_LIMIT_SECONDS * 1e9)}).encode()
    done = asyncio.Event()
    received = 0

    async def ask() -> None:
        await connection.publish(f"$JS.API.CONSUMER.MSG.NEXT.{STREAMS[0]}.{consumer}", request, reply=inbox)

    async def count(message: Msg) -> None:
        nonlocal received
        if message.subject == inbox:
            return  # a pull is over
        received += 1
        if received % PULL == 0:
            await ask()
        if received == spec.messages:
            done.set()

    await connection.subscribe(inbox, cb=count, pending_bytes_limit=512 * 1024 * 1024)
    started_at = time.monotonic()
    await ask()
    await ask()
    await asyncio.wait_for(done.wait(), _LIMIT_SECONDS)
    seconds = time.monotonic() - started_at
    await connection.close()
    return spec.messages / seconds


if __name__ == "__main__":
    configure_logging("bench", "ERROR")
    spec = msgspec.json.decode(sys.stdin.buffer.read(), type=ReadSpec)
    sys.stdout.buffer.write(msgspec.json.encode(uvloop.run(read(spec))))
