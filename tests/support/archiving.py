"""An archiver in this process, beside a stream of its own."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import chain

from nats.aio.client import Client

from wepeople_archive.archive import Archive
from wepeople_archive.names import Shelf
from wepeople_archive.store import Store
from wepeople_archiver.archiving import StreamArchiver
from wepeople_archiver.gathering import Limits
from wepeople_archiver.purging import plan_trim, trim
from wepeople_archiver.trimming import Plan, Reader
from wepeople_chassis.stream import StoredMessage, state_of
from wepeople_chassis.tasks import end
from wepeople_contracts.subjects import PARTITIONS, STREAMS

SOON = Limits(file_bytes=2_000, file_messages=50, file_seconds=0.2, waiting_bytes=100_000)
"""So small that a few hundred messages make many files, and so soon that a test need not wait."""
LATER_NS = 10 * 365 * 86_400 * 1_000_000_000


async def archiver(connection: Client, store: Store, limits: Limits = SOON) -> StreamArchiver:
    return StreamArchiver(connection, Archive(store), await state_of(connection, STREAMS[0]), limits)


@asynccontextmanager
async def archives(connection: Client, store: Store, limits: Limits = SOON) -> AsyncIterator[StreamArchiver]:
    """An archiver that is at work inside."""
    one = await archiver(connection, store, limits)
    task = asyncio.create_task(one.run())
    try:
        yield one
    finally:
        await end([task])


async def archived_messages(connection: Client, store: Store) -> list[StoredMessage]:
    """What verified files hold, in the stream's order, as far as each follows on the one before it."""
    archive, found = Archive(store), []
    stream = await state_of(connection, STREAMS[0])
    for partition in range(PARTITIONS):
        shelf = Shelf(stream.identity, partition)
        reached = None
        for after in (await archive.listing(shelf)).verified_first:
            if reached not in (None, after):
                break
            file = await archive.file(shelf, after)
            reached = file.contents.through
            found += list(chain.from_iterable(file.parts()))
    return sorted(found, key=lambda message: message.sequence)


async def all_archived(connection: Client, store: Store, count: int) -> list[StoredMessage]:
    """What verified files hold, once that is so many messages."""
    async with asyncio.timeout(30):
        while len(found := await archived_messages(connection, store)) < count:
            await asyncio.sleep(0.05)
    return found


async def planned(connection: Client, store: Store, *readers: Reader, keep_days: float = 0) -> Plan:
    """What might go if it were ten years later."""
    stream = await state_of(connection, STREAMS[0])
    now_ns = time.time_ns() + LATER_NS
    return await plan_trim(connection, Archive(store), stream, list(readers), keep_days=keep_days, now_ns=now_ns)


async def trimmed(connection: Client, store: Store, *readers: Reader) -> int:
    """Trim what may go if it were ten years later; how many messages went."""
    stream = await state_of(connection, STREAMS[0])
    return await trim(connection, Archive(store), stream, await planned(connection, store, *readers))
