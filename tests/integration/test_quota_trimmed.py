"""Quota on a stream that was trimmed: it goes on from what it saved, or counts again from the archive."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from psycopg import AsyncConnection

from tests.support.archiving import all_archived, archives, trimmed
from tests.support.fresh import Fresh
from tests.support.quotas import Asker, asker, charged, new_message_id, quota_process, until
from tests.support.stored import store
from wepeople_archive.folder import Folder
from wepeople_archiver.checkpoints import QUOTA, all_readers
from wepeople_archiver.purging import identities
from wepeople_chassis.stream import state_of
from wepeople_contracts.quota import Granted
from wepeople_contracts.subjects import PARTITIONS, STREAMS
from wepeople_embedded.services import ServiceProcess

STORED = [charged(3, ["evt_a", "evt_b"]), charged(5, period="2020-01"), charged(4, ["evt_a"]), charged(7, slug="crm")]
USED = 3 + 3 + 7
"""In this month: an event that has a name costs once."""


@dataclass
class Trimmed:
    """A stream of which only the last message is left, quota's database, and a client."""

    fresh: Fresh
    ask: Asker
    directory: Path

    @property
    def archive(self) -> dict[str, str]:
        """The setting that says where the rest is."""
        return {"WEPEOPLE_ARCHIVE_URL": f"file://{self.directory}/archive"}

    @asynccontextmanager
    async def quota(self, settings: Mapping[str, str] | None = None) -> AsyncIterator[ServiceProcess]:
        """A process that answers inside, and is stopped afterwards."""
        process = quota_process(self.fresh.nats_url, self.fresh.dsn("quota"), self.directory, settings)
        process.start()
        try:
            await process.wait_ready(self.ask.connection)
            yield process
            await process.stop()
        finally:
            await process.kill()

    async def all_is_saved(self) -> bool:
        """Of idle partitions too."""
        async with await AsyncConnection.connect(self.fresh.admin_dsn) as connection:
            rows = await (await connection.execute("SELECT sequence FROM quota.partitions")).fetchall()
        return rows == [(len(STORED),)] * PARTITIONS

    async def lose_what_was_saved(self) -> None:
        async with await AsyncConnection.connect(self.fresh.admin_dsn) as connection:
            await connection.execute("TRUNCATE quota.partitions, quota.org_usage, quota.org_charged_ids")


@pytest.fixture
async def left(fresh: Fresh, tmp_path: Path) -> AsyncIterator[Trimmed]:
    """Counted by a quota that was stopped, archived, and trimmed as far as that quota had saved."""
    (tmp_path / "archive").mkdir()
    folder = Folder(tmp_path / "archive")
    async with asker(fresh.nats_url) as ask:
        found = Trimmed(fresh, ask, tmp_path)
        async with found.quota():
            await store(ask.connection, *STORED)
            await until(found.all_is_saved)
        async with archives(ask.connection, folder):
            await all_archived(ask.connection, folder, len(STORED))
        state = await state_of(ask.connection, STREAMS[0])
        readers = await all_readers(fresh.admin_dsn, identities([state]))
        quota = next(reader for reader in readers if reader.name == QUOTA)
        assert await trimmed(ask.connection, folder, quota) == len(STORED) - 1
        yield found


async def counts_everything(ask: Asker, used: int) -> bool:
    """The month, its apps, and the ids that cost nothing any more."""
    usage = await ask.usage()
    again = await ask.reserve(new_message_id(), 0, event_ids=["evt_a", "evt_b", "evt_new"])
    assert isinstance(again, Granted)
    apps = {app.connection: app.used for app in usage.apps}
    assert (usage.used, sum(apps.values()), apps["custom:crm"]) == (used, used, 7)
    assert again.known_event_ids == frozenset({"evt_a", "evt_b"})
    return True


async def test_quota_goes_on_from_what_it_saved_and_needs_no_archive(left: Trimmed) -> None:
    await store(left.ask.connection, charged(2))
    async with left.quota():
        assert await counts_everything(left.ask, USED + 2)


async def test_quota_that_lost_what_it_saved_counts_from_the_archive(left: Trimmed) -> None:
    await left.lose_what_was_saved()
    await store(left.ask.connection, charged(2))
    async with left.quota(left.archive):
        assert await counts_everything(left.ask, USED + 2)
    async with left.quota():
        assert await counts_everything(left.ask, USED + 2)


async def test_quota_that_lost_what_it_saved_and_has_no_archive_says_what_it_needs(left: Trimmed) -> None:
    await left.lose_what_was_saved()
    process = quota_process(left.fresh.nats_url, left.fresh.dsn("quota"), left.directory)
    process.start()
    try:
        assert await process.child.wait(15) == 1
        assert "Set WEPEOPLE_ARCHIVE_URL to where they are archived" in process.child.log_tail()[-1]
    finally:
        await process.kill()
