"""What quota knows outlives its process: killed, stopped, or replaced by another."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, LiteralString

import pytest
from msgspec.structs import replace
from nats.errors import NoRespondersError
from psycopg import AsyncConnection
from psycopg.errors import CheckViolation

from tests.support.fresh import Fresh, renew_stream
from tests.support.quotas import ORG, Asker, asker, charged, new_message_id, quota_process, this_period, until
from tests.support.stored import founded, store
from wepeople_chassis.postgres import make_pool
from wepeople_chassis.rpc import Unavailable
from wepeople_chassis.stream import jetstream, state_of
from wepeople_contracts.envelope import ENVELOPE_VERSION
from wepeople_contracts.quota import Granted, Seen
from wepeople_contracts.subjects import STREAM_SUBJECTS, STREAMS, partition_of
from wepeople_embedded.services import ServiceProcess
from wepeople_provision.stream_plan import SETTINGS
from wepeople_quota.count import ChargedIds, Position, Snapshot, digest
from wepeople_quota.store import DatabaseWentBack, Fenced, Store

NEVER = {"WEPEOPLE_SAVE_SECONDS": "3600"}
PARTITION = partition_of(ORG)


@dataclass
class Quota:
    """One database and stream, quota processes one after the other, and a client."""

    fresh: Fresh
    directory: Path
    ask: Asker
    processes: list[ServiceProcess]

    async def start(self, settings: Mapping[str, str] | None = None) -> ServiceProcess:
        process = self.begin(settings)
        await process.wait_ready(self.ask.connection)
        return process

    def begin(self, settings: Mapping[str, str] | None = None) -> ServiceProcess:
        process = quota_process(self.fresh.nats_url, self.fresh.dsn("quota"), self.directory, settings)
        self.processes.append(process)
        process.start()
        return process

    async def rows(self, statement: LiteralString) -> list[tuple[Any, ...]]:
        async with await AsyncConnection.connect(self.fresh.admin_dsn) as connection:
            return await (await connection.execute(statement)).fetchall()

    async def execute(self, statement: LiteralString) -> None:
        async with await AsyncConnection.connect(self.fresh.admin_dsn) as connection:
            await connection.execute(statement)

    async def saved_sequence(self) -> int:
        rows = await self.rows("SELECT max(sequence) FROM quota.partitions")
        return int(rows[0][0] or 0)


@pytest.fixture
async def quota(fresh: Fresh, tmp_path: Path) -> AsyncIterator[Quota]:
    async with asker(fresh.nats_url) as client:
        running = Quota(fresh, tmp_path, client, [])
        yield running
        for process in running.processes:
            await process.kill()


async def used(ask: Asker, units: int) -> None:
    async def is_counted() -> bool:
        return (await ask.usage()).used == units

    await until(is_counted)


async def test_the_first_answer_counts_the_whole_stream(quota: Quota) -> None:
    for _ in range(10):
        await asyncio.gather(*(store(quota.ask.connection, charged(1)) for _ in range(300)))
    last = charged(1)
    sequence = await store(quota.ask.connection, last)
    quota.begin()

    async def first_answer() -> int:
        async with asyncio.timeout(20):
            while True:
                try:
                    return (await quota.ask.usage()).used
                except Unavailable as nobody:
                    if not isinstance(nobody.__cause__, NoRespondersError):
                        raise
                    await asyncio.sleep(0.002)

    assert await first_answer() == 3001
    seen = await quota.ask.reserve(last.message_id)
    assert isinstance(seen, Seen)
    assert seen.sequence == sequence


async def test_a_process_killed_before_it_ever_saved_is_replaced_without_loss(quota: Quota) -> None:
    process = await quota.start(NEVER)
    await store(quota.ask.connection, *(charged(2) for _ in range(10)))
    await used(quota.ask, 20)
    await process.kill()
    await store(quota.ask.connection, *(charged(3) for _ in range(10)))
    await quota.start(NEVER)
    assert (await quota.ask.usage()).used == 50


@pytest.mark.slow
async def test_a_process_killed_between_two_saves_is_replaced_without_loss(quota: Quota) -> None:
    expected = 0
    for round_number in range(4):
        process = await quota.start({"WEPEOPLE_SAVE_SECONDS": "0.05"})
        assert (await quota.ask.usage()).used == expected
        for _ in range(40 + 7 * round_number):
            await store(quota.ask.connection, charged(3))
            expected += 3
        await process.kill()
    await quota.start()
    assert (await quota.ask.usage()).used == expected
    last = (await state_of(quota.ask.connection, STREAMS[0])).last_sequence

    async def is_saved() -> bool:
        return await quota.saved_sequence() == last

    await until(is_saved)
    assert await quota.rows("SELECT org_id, period, connection, units FROM quota.org_usage") == [
        (ORG, this_period(), "custom:ci", expected)
    ]


async def test_a_stopped_process_saves_and_exits_cleanly(quota: Quota) -> None:
    process = await quota.start(NEVER)
    await store(quota.ask.connection, charged(4), founded(ORG))
    await used(quota.ask, 4)
    assert await process.stop(timeout_seconds=5) == 0
    assert await quota.rows("SELECT units FROM quota.org_usage") == [(4,)]
    assert await quota.saved_sequence() == 2


@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_ids_are_seen_after_a_restart_although_they_were_counted_before(quota: Quota, end: str) -> None:
    process = await quota.start()
    message, snapshot = charged(4), charged(0)
    sequence = await store(quota.ask.connection, message)
    zero = await store(quota.ask.connection, snapshot)

    async def is_saved() -> bool:
        return await quota.saved_sequence() == zero

    await until(is_saved)
    await (process.stop() if end == "stop" else process.kill())
    await quota.start()
    seen, seen_without_units = [await quota.ask.reserve(m.message_id, 0, month_limit=4) for m in (message, snapshot)]
    assert isinstance(seen, Seen)
    assert isinstance(seen_without_units, Seen)
    assert (seen.sequence, seen_without_units.sequence) == (sequence, zero)
    assert (await quota.ask.usage()).used == 4


@pytest.mark.slow
@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_named_events_are_charged_once_a_month_whatever_happens_to_the_process(quota: Quota, end: str) -> None:
    expected: set[str] = set()
    for attempt in range(3):
        process = await quota.start({"WEPEOPLE_SAVE_SECONDS": "0.05"})
        for number in range(20):
            named = [f"evt_{attempt}_{number}", f"evt_{number}", "evt_always"]
            expected |= set(named)
            await store(quota.ask.connection, charged(3, named))
        await used(quota.ask, len(expected))
        await (process.stop() if end == "stop" else process.kill())
    await quota.start()
    granted = await quota.ask.reserve(new_message_id(), 1, event_ids=["evt_always", "evt_1_7", "evt_new"])
    assert isinstance(granted, Granted)
    assert (granted.units, granted.known_event_ids) == (2, frozenset({"evt_always", "evt_1_7"}))
    assert (await quota.ask.usage()).used == len(expected)


async def test_named_events_of_months_that_can_no_longer_change_are_not_kept(quota: Quota) -> None:
    process = await quota.start(NEVER)
    await store(quota.ask.connection, charged(1, ["evt_r"], period="2020-01"), charged(1, ["evt_r"]))
    await used(quota.ask, 1)
    await quota.execute(
        f"INSERT INTO quota.org_charged_ids VALUES ({PARTITION}, '2020-02', 'org', 1, '\\x000102030405060708090a0b')"
    )
    await process.stop()
    assert await quota.rows("SELECT period, org_id, sequence FROM quota.org_charged_ids") == [(this_period(), ORG, 2)]


async def test_what_each_app_used_outlives_the_process(quota: Quota) -> None:
    process = await quota.start()
    await store(quota.ask.connection, charged(3), charged(4, slug="crm"), charged(5, slug="crm"))
    await used(quota.ask, 12)
    await process.stop()
    await quota.start()
    apps = (await quota.ask.usage()).apps
    assert [(app.connection, app.used) for app in apps] == [("custom:ci", 3), ("custom:crm", 9)]


async def test_ids_are_remembered_for_as_long_as_the_stream_refuses_their_duplicates(quota: Quota) -> None:
    settings = SETTINGS | {"name": STREAMS[0], "subjects": [STREAM_SUBJECTS], "num_replicas": 1}
    settings |= {"duplicate_window": 2 * 10**9}
    await jetstream(quota.ask.connection, f"STREAM.UPDATE.{STREAMS[0]}", settings)
    await quota.start()
    message = charged(1)
    await store(quota.ask.connection, message)

    async def is_seen() -> bool:
        return isinstance(await quota.ask.reserve(message.message_id, 0), Seen)

    async def is_forgotten() -> bool:
        return not await is_seen()

    await until(is_seen)
    await until(is_forgotten)


async def test_months_are_counted_apart(quota: Quota) -> None:
    await store(quota.ask.connection, charged(5, period="2020-01"), charged(2))
    process = await quota.start()
    assert (await quota.ask.usage()).used == 2
    await process.stop()
    rows = await quota.rows("SELECT period, units FROM quota.org_usage ORDER BY period")
    assert rows == [("2020-01", 5), (this_period(), 2)]


async def test_a_stream_made_anew_under_the_count_stops_quota_with_one_line(quota: Quota) -> None:
    process = await quota.start()
    await store(quota.ask.connection, charged(7))
    await used(quota.ask, 7)
    await process.stop()
    await renew_stream(quota.ask.connection)
    process = quota.begin()
    assert await process.child.wait(10) == 1
    assert "the checkpoint belongs to" in process.child.log_tail()[-1]


async def test_an_envelope_of_a_newer_release_stops_quota_before_it_is_passed_over(quota: Quota) -> None:
    await store(quota.ask.connection, charged(7), replace(charged(5), version=ENVELOPE_VERSION + 1))
    process = quota.begin()
    assert await process.child.wait(10) == 1
    assert "cannot be counted: envelope version 2 is unknown" in process.child.log_tail()[-1]
    assert await quota.saved_sequence() < 2


async def test_another_message_at_the_saved_position_stops_quota(quota: Quota) -> None:
    process = await quota.start()
    await store(quota.ask.connection, charged(7))
    await used(quota.ask, 7)
    await process.stop()
    await quota.execute("UPDATE quota.partitions SET message_id = 'other' WHERE message_id != ''")
    process = quota.begin()
    assert await process.child.wait(10) == 1
    assert "is not the one that was counted there" in process.child.log_tail()[-1]


@pytest.fixture
async def tables(quota: Quota) -> AsyncIterator[Store]:
    pool = make_pool(quota.fresh.dsn("quota"), "test")
    await pool.open()
    yield Store(pool)
    await pool.close()


def snapshot(sequence: int, units: int, *, after: int = 0) -> Snapshot:
    charged_ids = [ChargedIds(n, ORG, this_period(), digest(f"evt_{n}")) for n in range(after + 1, sequence + 1)]
    position = Position(sequence, f"m{sequence}", time.time_ns())
    return Snapshot(position, after, {(ORG, this_period(), "custom:ci"): units}, charged_ids)


async def test_totals_are_never_saved_without_the_position_they_belong_to(quota: Quota, tables: Store) -> None:
    await quota.execute("ALTER TABLE quota.partitions ADD CONSTRAINT refuses CHECK (sequence < 5)")
    with pytest.raises(CheckViolation):
        await tables.save(1, "now", {PARTITION: snapshot(5, 5)})
    assert await quota.rows("SELECT * FROM quota.org_usage") == []
    assert await quota.rows("SELECT * FROM quota.org_charged_ids") == []


async def test_an_owner_of_an_earlier_epoch_writes_nothing(tables: Store) -> None:
    await tables.save(2, "now", {PARTITION: snapshot(5, 5)})
    with pytest.raises(Fenced):
        await tables.save(1, "now", {PARTITION: snapshot(9, 9)})
    saved = (await tables.load())[PARTITION]
    assert (saved.epoch, saved.position.sequence, list(saved.units.values())) == (2, 5, [5])


async def test_a_new_owner_that_is_behind_what_was_saved_writes_nothing_and_learns_how_far_that_is(
    tables: Store,
) -> None:
    await tables.save(1, "now", {PARTITION: snapshot(9, 9)})
    assert (await tables.save(2, "now", {PARTITION: snapshot(5, 5)}))[PARTITION].sequence == 9
    saved = (await tables.load())[PARTITION]
    assert (saved.epoch, saved.position.sequence, list(saved.units.values())) == (1, 9, [9])


async def test_charged_ids_are_saved_once_although_a_snapshot_holds_them_again(tables: Store) -> None:
    await tables.save(1, "now", {PARTITION: snapshot(5, 5)})
    await tables.save(2, "now", {PARTITION: snapshot(9, 9)})
    saved = (await tables.load())[PARTITION]
    assert b"".join(block.digests for block in saved.charged) == b"".join(digest(f"evt_{n}") for n in range(1, 10))


async def test_a_database_that_lost_what_it_had_confirmed_is_not_built_upon(tables: Store) -> None:
    await tables.save(1, "now", {PARTITION: snapshot(5, 5)})
    with pytest.raises(DatabaseWentBack):
        await tables.save(1, "now", {PARTITION: snapshot(9, 9, after=7)})
    with pytest.raises(DatabaseWentBack):
        await tables.positions({PARTITION: 7})
