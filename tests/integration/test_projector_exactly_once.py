"""Whatever dies or fights, every event is in the read models once, and they are the same as those of a rebuild."""

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from psycopg import AsyncConnection

from tests.support.fresh import Fresh
from tests.support.projecting import Projecting, projector_process, running_projector
from tests.support.read_models import eventually
from tests.support.stored import envelope, founded, imported, raw
from wepeople_contracts.directory import DirectoryFact
from wepeople_contracts.envelope import AcceptedRow, Envelope, RejectedRow
from wepeople_contracts.ids import client_event_id, new_id
from wepeople_embedded.services import ServiceProcess

Message = Envelope | DirectoryFact


@pytest.fixture
async def projecting(fresh: Fresh, tmp_path: Path) -> AsyncIterator[Projecting]:
    async with running_projector(fresh.nats_url, fresh.dsn("projector"), fresh.admin_dsn, tmp_path) as running:
        yield running


@dataclass(frozen=True, slots=True)
class History:
    """A history of several orgs, drawn from a seed: founding facts, then requests of all kinds, some of whose events
    their senders named, and imports.
    """

    foundings: list[Message]
    messages: list[Message]

    def event_ids(self) -> list[str]:
        """The ids of every event in it."""
        requests = [m for m in self.messages if isinstance(m, Envelope) and m.kind == "events"]
        return sorted({row.event_id for request in requests for row in request.accepted})


def history(seed: int, length: int) -> History:
    choose = random.Random(seed)
    orgs = [new_id("org") for _ in range(5)]
    return History([founded(org) for org in orgs], [_message(choose, choose.choice(orgs)) for _ in range(length)])


def _message(choose: random.Random, org: str) -> Message:
    kind = choose.choices(("events", "snapshot", "import"), (8, 2, 1))[0]
    if kind == "import":
        return imported(org, *((f"m{choose.randrange(40)}@x.com", f"name {choose.random()}") for _ in range(5)))
    app = choose.choice(("app_1", "app_2"))
    fields = {"eventType": "deploy.shipped", "category": "code", "metadata": {"n": choose.random()}}
    if kind == "snapshot":
        fields = {"snapshotType": choose.choice("ab"), "metrics": {"n": choose.random()}}
    rows = [raw(fields | {"actor": _actor(choose)}) for _ in range(choose.choice((1, 20)) if kind == "events" else 1)]
    if kind == "snapshot":
        return envelope(org, rows, app_id=app, slug=app[-1], kind="snapshot")
    return _named(choose, envelope(org, rows, app_id=app, slug=app[-1]))


def _named(choose: random.Random, request: Envelope) -> Envelope:
    """One row in three is named, by one of so few names that most come again; and one more row was rejected."""
    app = request.org_id + request.app_id
    accepted = [
        AcceptedRow(row.index, client_event_id(app, str(choose.randrange(60))), row.raw, True)
        if choose.randrange(3) == 0
        else row
        for row in request.accepted
    ]
    rejected = RejectedRow(len(accepted), "invalid_body", "Mend it.", None, False, b'{"eventType": 17}')
    return msgspec.structs.replace(request, accepted=accepted, rejected=[rejected])


def _actor(choose: random.Random) -> dict[str, str]:
    names = {
        "workerId": "wrk_nobody",
        "externalId": f"e{choose.randrange(40)}",
        "email": f"M{choose.randrange(40)}@x.com",
    }
    kept = choose.choices((("externalId",), ("email",), ("externalId", "email"), tuple(names)), (4, 3, 3, 1))[0]
    return {name: names[name] for name in kept}


async def all_applied(projecting: Projecting, last: int) -> None:
    """Wait until every partition has passed this sequence; an idle one says so every few seconds."""
    await eventually(
        lambda: projecting.rows("SELECT count(*) FROM live_v1.checkpoint WHERE sequence >= %(last)s", last=last),
        lambda found: found[0]["count"] == 16,
        within_seconds=40,
        what=f"all partitions past {last}",
    )


async def expect_exactly(projecting: Projecting, expected: History) -> None:
    """The timeline holds the history's events, each once, and nothing was put aside."""
    found = await projecting.rows("SELECT event_id FROM live_v1.timeline ORDER BY event_id")
    assert [row["event_id"] for row in found] == expected.event_ids()
    assert await projecting.rows("SELECT * FROM live_v1.parked") == []


async def rebuild(fresh: Fresh, projecting: Projecting, directory: Path, last: int) -> dict[str, list[str]]:
    """Drop everything, let a new projector begin at the stream's first message, and return what it makes."""
    await projecting.process.kill()
    await execute(fresh.dsn("projector"), "DROP SCHEMA live_v1 CASCADE")
    again = projector_process(fresh.nats_url, fresh.dsn("projector"), directory, "again")
    again.start()
    try:
        await again.wait_ready(projecting.connection)
        await all_applied(projecting, last)
        return await projecting.tables()
    finally:
        await again.stop()


async def _log(process: ServiceProcess) -> str:
    return process.child.log_path.read_text()


async def execute(dsn: str, statement: str) -> None:
    async with await AsyncConnection.connect(dsn) as connection:
        await connection.execute(statement.encode())


@pytest.mark.slow
async def test_killed_again_and_again_it_applies_every_event_once_and_a_rebuild_gives_identical_rows(
    fresh: Fresh, projecting: Projecting, tmp_path: Path
) -> None:
    drawn = history(seed=1, length=400)
    await projecting.store(*drawn.foundings)
    choose, done = random.Random(2), asyncio.Event()

    async def kill_until_done() -> int:
        kills = 0
        while not done.is_set():
            await asyncio.sleep(choose.uniform(0.7, 1.6))
            await projecting.process.kill()
            projecting.process.start()
            kills += 1
        return kills

    killer = asyncio.create_task(kill_until_done())
    last = 0
    for message in drawn.messages:
        last = await projecting.store(message)
        await asyncio.sleep(0.02)
    done.set()
    assert await killer >= 4
    await all_applied(projecting, last)
    await expect_exactly(projecting, drawn)
    live = await projecting.tables()
    assert live["workers"]
    assert live["identity_conflicts"]
    assert live["latest_snapshots"]
    assert len(live["requests"]) > len(live["rejects"]) > 0
    assert await rebuild(fresh, projecting, tmp_path, last) == live


async def test_two_projectors_share_the_work_and_one_goes_on_alone_when_the_other_dies(
    fresh: Fresh, projecting: Projecting, tmp_path: Path
) -> None:
    rival = projector_process(fresh.nats_url, fresh.dsn("projector"), tmp_path, "rival")
    rival.start()
    try:
        await eventually(lambda: _log(rival), lambda log: '"event": "ready"' in log)
        await eventually(lambda: writers(projecting), lambda found: sorted(found) == [8, 8], within_seconds=10)
        drawn = history(seed=3, length=150)
        await projecting.store(*drawn.foundings)
        await projecting.store(*drawn.messages[:100])
        await rival.kill()
        last = await projecting.store(*drawn.messages[100:])
        await all_applied(projecting, last)
        await expect_exactly(projecting, drawn)
        assert await writers(projecting) == [16]
        assert projecting.process.child.is_running
    finally:
        await rival.kill()


async def writers(projecting: Projecting) -> list[int]:
    """How many partitions each projector writes."""
    found = await projecting.rows(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2 AND mode = 'ExclusiveLock'"
        " AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) GROUP BY pid"
    )
    return [row["count"] for row in found]


async def test_lost_database_connections_cost_nothing(projecting: Projecting) -> None:
    drawn = history(seed=4, length=120)
    await projecting.store(*drawn.foundings)
    last = 0
    for number, message in enumerate(drawn.messages):
        last = await projecting.store(message)
        if number % 20 == 0:
            await projecting.rows(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE usename = 'wepeople_projector' AND datname = current_database()"
            )
    await all_applied(projecting, last)
    await expect_exactly(projecting, drawn)


async def test_an_idle_partition_follows_the_end_of_the_stream(projecting: Projecting) -> None:
    drawn = history(seed=5, length=10)
    await projecting.store(*drawn.foundings)
    last = await projecting.store(*drawn.messages)
    await all_applied(projecting, last)
    untouched = await projecting.rows("SELECT sequence FROM live_v1.checkpoint WHERE message_sequence = 0")
    assert len(untouched) >= 11
    assert all(row["sequence"] >= last for row in untouched)


async def test_it_stops_and_says_what_to_do_when_the_stream_is_another_one(
    fresh: Fresh, projecting: Projecting, tmp_path: Path
) -> None:
    org = new_id("org")
    await projecting.stored_and_applied(founded(org), envelope(org, [raw({"eventType": "x", "category": "c"})]))
    await projecting.process.stop()
    (checkpoint, *_) = await projecting.rows("SELECT stream_identity FROM live_v1.checkpoint")
    for change, message in (
        ("stream_identity = '2020-01-01T00:00:00Z'", "restore the old stream, or rebuild"),
        (
            f"stream_identity = '{checkpoint['stream_identity']}', message_id = 'another'",
            "Restore that stream from its backup",
        ),
    ):
        await execute(fresh.dsn("projector"), f"UPDATE live_v1.checkpoint SET {change}")
        again = projector_process(fresh.nats_url, fresh.dsn("projector"), tmp_path, "again")
        again.start()
        assert await again.child.wait(timeout_seconds=20) == 1
        assert message in again.child.log_tail()[-1]


async def test_it_stops_within_five_seconds_with_code_0(projecting: Projecting) -> None:
    assert await projecting.process.stop(timeout_seconds=5) == 0
