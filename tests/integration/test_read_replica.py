"""A standby of Postgres: reading at it while the primary is written, its loss and the primary's.

The tests take their turns with one pair of servers; the last one takes the primary away.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from tests.support.client import client
from tests.support.fresh import template_database
from tests.support.nats_users import ACCESS
from tests.support.operators import EVENT_TYPE, operators
from tests.support.read_models import eventually, query, rows_of_request
from tests.support.servers import Servers
from tests.support.shell import Result, wepeople
from tests.support.standby import Standby, let_copy
from tests.support.system import RunningSystem, running_system
from wepeople_embedded.nats_server import NatsServer
from wepeople_embedded.ports import HOST, free_port
from wepeople_embedded.postgres_server import PostgresServer
from wepeople_provision.dsn import login_dsn
from wepeople_provision.readers import create_reader

pytestmark = pytest.mark.slow

PERSON = "alex@acme.com"
EVENT = {"eventType": EVENT_TYPE, "category": "code", "actor": {"email": PERSON}}
REJECTED = EVENT | {"eventType": "no.such.type"}
OF_ANOTHER_ORG = EVENT | {"actor": {"email": "kim@other.com"}}
SAVED = "SELECT coalesce(max(sequence), 0) AS through FROM quota.partitions"
"""How far quota has saved the month."""
COUNT = "SELECT count(*) AS events, count(DISTINCT event_id) AS ids FROM live.timeline"


@dataclass(frozen=True, slots=True)
class Pair:
    """A whole system whose addresses name both servers, and take the one that takes writes."""

    system: RunningSystem
    primary: PostgresServer
    standby: Standby

    async def send(self, *rows: dict[str, Any]) -> str:
        """Events that are stored; the request's id."""
        async with client(self.system.gateway_url, self.system.api_key) as api:
            answer = await api.events(rows or [EVENT])
        assert answer.status in (202, 207), answer
        request_id: str = answer.json()["requestId"]
        return request_id

    async def type(self, *arguments: str, reads_at: int | None = None, **environment: str) -> Result:
        """A command of an operator who may name the standby."""
        named = {"WEPEOPLE_READ_REPLICA": f"{HOST}:{reads_at}"} if reads_at else {}
        addresses = {"WEPEOPLE_PROJECTOR_DSN": self.system.projector_dsn} | named | environment
        return await wepeople(self.system.nats_url, self.system.operator_dsn, *arguments, **addresses)


@pytest.fixture(scope="module")
async def pair(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pair]:
    directory, password = tmp_path_factory.mktemp("pair"), secrets.token_urlsafe(12)
    nats = NatsServer(directory / "nats", port=free_port(), log_path=directory / "nats.log", access=ACCESS)
    primary = PostgresServer(directory / "one", port=free_port(), password=password, log_path=directory / "one.log")
    (directory / "two").mkdir()
    standby = Standby(directory / "two", primary_port=primary.port, port=free_port(), password=password)
    both = primary.dsn().replace(f":{primary.port}/", f":{primary.port},{HOST}:{standby.port}/")
    try:
        await nats.start()
        await primary.start()
        servers = Servers(nats.url, f"{both}?target_session_attrs=read-write")
        async with template_database(servers) as template:
            await let_copy(primary.dsn(), template.passwords, password)
            await standby.copy()
            await standby.start(primary.dsn())
            async with running_system(template, directory / "system") as running:
                yield Pair(running, primary, standby)
    finally:
        await standby.stop()
        await primary.stop()
        await nats.stop()


async def test_readers_and_operators_read_at_the_standby_while_the_primary_is_written_and_each_sees_its_own(
    pair: Pair,
) -> None:
    system, standby = pair.system, pair.standby
    async with operators(system.nats_url) as operator:
        other = await operator.caller()
    stranger = f"stranger_{secrets.token_hex(4)}"
    await create_reader(system.admin_dsn, system.projector_dsn, stranger, "secret", other.org_id)

    async def sends() -> None:
        while True:
            await pair.send(EVENT)
            await asyncio.sleep(0.05)  # The key's rate allows 60 a second.

    load = asyncio.create_task(sends())
    try:
        async with client(system.gateway_url, other.token) as api:
            theirs = (await api.events([OF_ANOTHER_ORG])).json()["requestId"]
        for _ in range(5):
            ours = await pair.send(EVENT)
            await rows_of_request(standby.at(system.demo.postgres_dsn), ours, 1)
        stranger_dsn = standby.at(login_dsn(system.admin_dsn, stranger, "secret"))
        await rows_of_request(stranger_dsn, theirs, 1)
        for view in ("live.workers", "live.timeline", "live.reader_orgs"):
            orgs = f"SELECT DISTINCT org_id FROM {view} ORDER BY org_id"
            assert await query(stranger_dsn, orgs) == [{"org_id": other.org_id}]
            demo = standby.at(system.demo.postgres_dsn)
            assert await query(demo, orgs) == [{"org_id": system.demo.organization_id}]
            assert len(await query(standby.at(system.operator_dsn), orgs)) >= 2
    finally:
        load.cancel()
        with suppress(asyncio.CancelledError):
            await load
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        await query(standby.at(system.projector_dsn), "DELETE FROM live_v1.checkpoint")


async def test_commands_that_read_do_so_at_the_standby_and_status_says_how_far_it_is_behind(pair: Pair) -> None:
    system, standby = pair.system, pair.standby
    before = await pair.send(EVENT, REJECTED)
    await rows_of_request(standby.at(system.operator_dsn), before, 1)
    await standby.waits(system.admin_dsn, replaying=False)
    try:
        after = await pair.send(EVENT, REJECTED)
        await rows_of_request(system.operator_dsn, after, 1)
        for command in (("timeline", PERSON), ("rejects", "list")):
            found = await pair.type(*command, "--json", reads_at=standby.port)
            shown = {line["request_id"] for line in found.json}
            assert before in shown, command
            assert after not in shown, command
        assert after in (await pair.type("timeline", PERSON, "--json")).stdout
        [note] = (await pair.type("request", after, "--json", reads_at=standby.port)).json["notes"]
        assert "not projected yet" in note
        status = (await pair.type("status", "--json", reads_at=standby.port)).json
        there, copied = status["projections"]
        assert (there["projection"], there["lag_messages"]) == ("live_v1", 0)
        assert copied["projection"] == f"live_v1 at {HOST}:{standby.port}"
        assert copied["lag_messages"] >= 1
        assert copied["lag_seconds"] > 0
    finally:
        await standby.waits(system.admin_dsn, replaying=True)
    await rows_of_request(standby.at(system.operator_dsn), after, 1)


async def test_while_the_standby_is_away_commands_read_at_the_primary_and_it_catches_up_by_itself(pair: Pair) -> None:
    system, standby = pair.system, pair.standby
    await standby.kill()
    try:
        request_id = await pair.send(EVENT)
        await rows_of_request(system.operator_dsn, request_id, 1)
        found = await pair.type("timeline", PERSON, "--json", reads_at=standby.port)
        assert request_id in found.stdout, found.stderr
        [note] = (await pair.type("status", "--json", reads_at=standby.port)).json["notes"]
        assert note.startswith(f"The read replica does not answer at {HOST}:{standby.port}")
    finally:
        await standby.start(system.admin_dsn)
    await rows_of_request(standby.at(system.operator_dsn), request_id, 1)


async def test_a_standby_that_takes_over_without_the_last_commits_is_brought_up_to_date_from_the_stream(
    pair: Pair,
) -> None:
    system, standby = pair.system, pair.standby
    await eventually(
        lambda: query(standby.at(system.operator_dsn), COUNT),
        lambda found: found[0]["events"] > 0,
        what="events at the standby",
    )
    [saved] = await query(system.operator_dsn, SAVED)
    await standby.kill()
    lost = [await pair.send(*[EVENT] * 20) for _ in range(10)]
    for request_id in lost:
        await rows_of_request(system.operator_dsn, request_id, 20)
    await eventually(
        lambda: query(system.operator_dsn, SAVED),
        lambda found: found[0]["through"] >= saved["through"] + len(lost),
        what="quota has saved what will be lost",
    )
    [written] = await query(system.operator_dsn, COUNT)
    quota = asyncio.create_task(_started_again(system))
    await pair.primary.kill()
    while_away = await pair.send(EVENT)
    await standby.start(system.admin_dsn)
    [copied] = await query(standby.at(system.operator_dsn), COUNT)
    assert copied["events"] <= written["events"] - 200
    await standby.promote(system.admin_dsn)
    try:
        for request_id in lost:
            await rows_of_request(system.operator_dsn, request_id, 20, within_seconds=40)
        await rows_of_request(system.operator_dsn, while_away, 1)
        [found] = await query(system.operator_dsn, COUNT)
        assert found == {"events": written["events"] + 1, "ids": written["events"] + 1}
        after = await pair.send(EVENT)
        await rows_of_request(system.operator_dsn, after, 1)
        await eventually(
            lambda: pair.type("prove", "--json"),
            lambda proved: proved.code == 0,
            within_seconds=60,
            what="stream, read models and month agree",
        )
        await eventually(lambda: _log_of_quota(system), lambda log: "was saved before" in log, what="why quota ended")
    finally:
        quota.cancel()
        with suppress(asyncio.CancelledError):
            await quota


async def _log_of_quota(system: RunningSystem) -> str:
    return system.services["quota"].child.log_path.read_text()


async def _started_again(system: RunningSystem) -> None:
    """What keeps processes alive: quota ends when its database has lost what it had saved, and begins anew."""
    while True:
        if not system.services["quota"].child.is_running:
            system.services["quota"].start()
        await asyncio.sleep(0.2)
