"""The archive of streams that are split: both go on being archived, are trimmed, and are read from the beginning on."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from psycopg import AsyncConnection

from tests.support.archiving import LATER_NS
from tests.support.engines import Ground, ground_of
from tests.support.fresh import Fresh
from tests.support.nats_users import nats_environment
from tests.support.poisoned import request
from tests.support.random_history import random_history
from tests.support.read_models import eventually
from tests.support.splitting import split_stream
from tests.support.stored import founded
from tests.support.tally import Tally
from wepeople_archive.archive import Archive
from wepeople_archive.folder import Folder
from wepeople_archive.names import Shelf
from wepeople_archiver.checkpoints import all_readers
from wepeople_archiver.places import next_of
from wepeople_archiver.purging import identities, plan_trim, trim
from wepeople_archiver.trimming import Reader
from wepeople_archiver.verifying import verify
from wepeople_chassis.stream import StreamState, state_of, stream_states, takers
from wepeople_contracts.subjects import PARTITIONS, partition_of
from wepeople_embedded.services import ServiceProcess
from wepeople_projections.definition.projection import Definition
from wepeople_projections.postgres.digest import digests, keys_of
from wepeople_provision.stream_tidy import Leftover, tidy

LOWER = next(f"org_{n}" for n in range(100) if partition_of(f"org_{n}") < PARTITIONS // 2)
UPPER = next(f"org_{n}" for n in range(100) if partition_of(f"org_{n}") >= PARTITIONS // 2)
FOUNDING = 40
"""So many orgs, in both halves of the partitions; a history begins with them."""


@pytest.fixture
async def ground(fresh: Fresh) -> AsyncIterator[Ground]:
    async with ground_of(fresh) as ground:
        yield ground


@pytest.fixture
async def archive(ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Archive]:
    """What a process of the archiver writes meanwhile."""
    folder = tmp_path / "archive"
    folder.mkdir()
    monkeypatch.setenv("WEPEOPLE_ARCHIVE_URL", f"file://{folder}")
    environment = {
        **nats_environment("archiver", ground.nats_url),
        "WEPEOPLE_ARCHIVE_URL": f"file://{folder}",
        "WEPEOPLE_ARCHIVE_FILE_MESSAGES": "5",
        "WEPEOPLE_ARCHIVE_FILE_SECONDS": "0.2",
    }
    process = ServiceProcess("archiver", environment, tmp_path / "archiver.log")
    process.start()
    await process.wait_ready(ground.connection)
    yield Archive(Folder(folder))
    await process.kill()


async def all_is_archived(ground: Ground, archive: Archive) -> None:
    """Wait until every message is in a verified file; then verify every file."""

    async def is_archived() -> bool:
        for partition, stream in (await takers(ground.connection)).items():
            shelf = Shelf(stream.identity, partition)
            end = await archive.verified_through(shelf, await archive.listing(shelf), stream.first_sequence - 1)
            if await next_of(ground.connection, stream.name, partition, end or 0) is not None:
                return False
        return True

    await eventually(is_archived, bool, within_seconds=30, what="everything is archived")
    found = (await takers(ground.connection)).items()
    verdicts = [verify(ground.connection, archive, stream, n, everything=True) for n, stream in found]
    assert {verdict.wrong for verdict in await asyncio.gather(*verdicts)} == {None}


async def tidied(ground: Ground) -> None:
    """As `wepeople stream tidy` does it, once ids of before the split matter no more."""
    for partition in range(PARTITIONS // 2, PARTITIONS):
        if await next_of(ground.connection, "INGEST", partition, 0) is not None:
            await tidy(ground.connection, Leftover("INGEST", partition, "INGEST_8", 0))


async def left_behind(ground: Ground) -> list[int | None]:
    """The first message that the old stream has of each partition that left it."""
    return [await next_of(ground.connection, "INGEST", n, 0) for n in range(PARTITIONS // 2, PARTITIONS)]


async def readers_of(ground: Ground) -> list[Reader]:
    """The projection, as `wepeople archive trim` finds it; whatever else is in the database is left behind."""
    streams = await stream_states(ground.connection)
    return [reader for reader in await all_readers(ground.admin_dsn, identities(streams)) if reader.name == "tally_v1"]


async def trim_all(ground: Ground, archive: Archive, readers: list[Reader]) -> dict[str, int]:
    """How many messages each stream has lost, of those that had some to lose, if it were ten years later."""
    gone = {}
    for stream in await stream_states(ground.connection):
        now_ns = time.time_ns() + LATER_NS
        planned = await plan_trim(ground.connection, archive, stream, readers, keep_days=0, now_ns=now_ns)
        if planned.trims:
            gone[stream.name] = await trim(ground.connection, archive, stream, planned)
    return gone


async def same_as_from_scratch(ground: Ground, definition: Definition, schema: str) -> bool:
    await ground.create(Tally, schema)
    await ground.build(definition, schema, until=await ground.positions("tally_v1"))
    async with await AsyncConnection.connect(ground.admin_dsn) as connection:
        both = [await digests(connection, name, keys_of(definition)) for name in ("tally_v1", schema)]
    assert all(both[0].tables.values())
    return both[0] == both[1]


async def each(ground: Ground, wanted: Callable[[StreamState], int]) -> list[int]:
    return [wanted(stream) for stream in await stream_states(ground.connection)]


@pytest.mark.parametrize(
    "before_the_split", ["it was trimmed", pytest.param("nothing was trimmed", marks=pytest.mark.slow)]
)
async def test_a_split_stream_is_archived_on_and_trimmed_and_a_build_has_what_one_had_before(
    ground: Ground, archive: Archive, before_the_split: str
) -> None:
    history = random_history(11, 240, orgs=FOUNDING)
    tally = await ground.create(Tally)
    await ground.store(*history[:120])
    await all_is_archived(ground, archive)
    if before_the_split == "it was trimmed":
        await ground.build(tally)
        assert await trim_all(ground, archive, await readers_of(ground)) == {"INGEST": 119}

    await split_stream(ground.connection, "INGEST")
    await ground.store(*history[120:])
    await all_is_archived(ground, archive)
    await ground.build(tally)
    left = await left_behind(ground)
    await trim_all(ground, archive, [Reader("on", dict.fromkeys(range(PARTITIONS), 1))])
    assert await left_behind(ground) == left
    await tidied(ground)
    gone = await trim_all(ground, archive, await readers_of(ground))

    assert list(gone) == ["INGEST", "INGEST_8"]
    assert all(gone.values())
    assert await each(ground, lambda stream: stream.first_sequence) == await each(ground, lambda s: s.last_sequence)
    assert len(await ground.rows("SELECT FROM tally_v1.arrival")) == len(history)
    assert await same_as_from_scratch(ground, tally, "tally_v2")

    await ground.store(*random_history(12, 60, orgs=FOUNDING)[FOUNDING:])
    await all_is_archived(ground, archive)
    await ground.build(tally)
    assert all((await trim_all(ground, archive, await readers_of(ground))).values())
    assert await same_as_from_scratch(ground, tally, "tally_v3")


async def test_a_new_stream_that_has_nothing_to_lose_yet_is_left_as_it_is(ground: Ground, archive: Archive) -> None:
    """It begins where the old one did, though its first message comes later."""
    await ground.store(founded(LOWER), *(request(("a", "w1"), org=LOWER) for _ in range(5)))
    first = await ground.store(founded(UPPER))
    await ground.store(*(request(("a", "w1"), org=org) for org in (LOWER, UPPER) * 5))
    await split_stream(ground.connection, "INGEST")
    await all_is_archived(ground, archive)
    await tidied(ground)
    old, new = await stream_states(ground.connection)
    assert (old.first_sequence, new.first_sequence) == (1, 1)

    gone = await trim_all(ground, archive, [Reader("behind", dict.fromkeys(range(PARTITIONS), first - 3))])

    assert gone.pop("INGEST") == first - 3
    assert set(gone.values()) <= {0}
    assert (await state_of(ground.connection, new.name)).messages == new.messages
    gone = await trim_all(ground, archive, [Reader("on", dict.fromkeys(range(PARTITIONS), first))])
    assert gone == {"INGEST": 2, "INGEST_8": 1}
