"""Auth while NATS or Postgres is away: it waits, answers what it may, and comes back by itself."""

import asyncio
import itertools
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest
from psycopg import AsyncConnection

from tests.support.auth_process import Auth, auth_service, refusal, running_auth, until
from wepeople_chassis.broker import NatsAddress, connect, is_ready
from wepeople_chassis.rpc import Refused, Unavailable
from wepeople_contracts.directory import AppCreated, OrgFounded, decode_fact
from wepeople_contracts.operators import App, CreateApp, CreateOrg, Org
from wepeople_contracts.subjects import STREAMS
from wepeople_embedded.nats_server import NatsServer
from wepeople_embedded.ports import free_port
from wepeople_embedded.postgres_server import PostgresServer
from wepeople_provision.dsn import login_dsn
from wepeople_provision.provision import provision
from wepeople_provision.roles import LOGIN_ROLES


@dataclass(frozen=True, slots=True)
class Home:
    """Servers that tests may kill, and a database of one test."""

    nats: NatsServer
    postgres: PostgresServer
    passwords: dict[str, str]
    database: str

    @property
    def dsn(self) -> str:
        return login_dsn(self.postgres.dsn(self.database), "wepeople_auth", self.passwords["wepeople_auth"])

    @property
    def all_orgs_dsn(self) -> str:
        """The superuser's: auth's own role sees one org at a time."""
        return self.postgres.dsn(self.database)

    async def provision(self) -> None:
        await provision(NatsAddress(self.nats.url), self.postgres.dsn(self.database), self.passwords)

    async def mend(self) -> None:
        for server in (self.nats, self.postgres):
            if not server.child.is_running:
                await server.start()


@pytest.fixture(scope="module")
async def killable(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Home]:
    directory = tmp_path_factory.mktemp("killable")
    nats = NatsServer(directory / "nats", port=free_port(), log_path=directory / "nats.log")
    postgres = PostgresServer(
        directory / "postgres", port=free_port(), password="postgres", log_path=directory / "postgres.log"
    )
    try:
        yield Home(nats, postgres, {role: secrets.token_hex(8) for role in LOGIN_ROLES}, "")
    finally:
        await nats.stop()
        await postgres.stop()


@pytest.fixture
async def bare(killable: Home) -> Home:
    """Both servers run, and the test's database is empty."""
    await killable.mend()
    home = replace(killable, database=f"test_{secrets.token_hex(6)}")
    async with await AsyncConnection.connect(home.postgres.dsn("postgres"), autocommit=True) as admin:
        await admin.execute(f"CREATE DATABASE {home.database}".encode())
    return home


@pytest.fixture
async def home(bare: Home) -> Home:
    """Both servers run, the stream is empty and the test's database provisioned."""
    connection = await connect(NatsAddress(bare.nats.url), "test-outages")
    await connection.request(f"$JS.API.STREAM.DELETE.{STREAMS[0]}", b"", timeout=5)
    await connection.close()
    await bare.provision()
    return bare


@pytest.fixture
async def auth(home: Home, tmp_path: Path) -> AsyncIterator[Auth]:
    async with running_auth(home.nats.url, home.dsn, tmp_path / "auth.log") as running:
        yield running


async def test_it_waits_for_nats_postgres_and_the_provisioner(bare: Home, tmp_path: Path) -> None:
    await bare.nats.kill()
    await bare.postgres.kill()
    log = tmp_path / "auth.log"
    auth = auth_service(bare.nats.url, bare.dsn, log)
    auth.start()
    try:
        await until(lambda: _says(log, "nats_error"))
        await bare.nats.start()
        await until(lambda: _says(log, "Postgres:"))
        await bare.postgres.start()
        connection = await connect(NatsAddress(bare.nats.url), "test-start")
        assert not await is_ready(connection, "auth")
        await bare.provision()
        await auth.wait_ready(connection, timeout_seconds=10)
        await connection.close()
    finally:
        assert await auth.stop() == 0


async def test_told_to_stop_while_it_waits_it_stops_in_order(tmp_path: Path) -> None:
    log = tmp_path / "auth.log"
    auth = auth_service(f"nats://127.0.0.1:{free_port()}", "postgresql://nobody@127.0.0.1/none", log)
    auth.start()
    await until(lambda: _says(log, "nats_error"))
    assert await auth.stop() == 0


async def test_told_to_stop_after_both_servers_died_it_stops_in_order(home: Home, tmp_path: Path) -> None:
    log = tmp_path / "auth.log"
    async with running_auth(home.nats.url, home.dsn, log):
        await home.nats.kill()
        await home.postgres.kill()
        await until(lambda: _says(log, "nats_disconnected"))


async def test_an_address_that_is_none_ends_it_and_is_named_but_not_repeated(tmp_path: Path) -> None:
    for number, dsn in enumerate(("auth:pa55word@postgres", "postgresql://auth:pa55word@postgres?sslmoed=x")):
        log = tmp_path / f"auth-{number}.log"
        auth = auth_service("nats://127.0.0.1:1", dsn, log)
        auth.start()
        assert await auth.child.wait(10)
        assert "WEPEOPLE_POSTGRES_DSN" in log.read_text()
        assert "pa55word" not in log.read_text()


async def test_a_key_in_memory_outlives_postgres_and_an_unseen_one_is_not_called_invalid(
    home: Home, auth: Auth
) -> None:
    app = await auth.app(await auth.org())
    seen, unseen = await auth.key(app), await auth.key(app)
    await auth.authenticate(seen.token)
    await home.postgres.kill()
    # Longer than a state is fresh, so that each answer comes from beyond a failed read.
    deadline = time.monotonic() + 7
    oldest = 0.0
    while time.monotonic() < deadline:
        oldest = max(oldest, (await auth.authenticate(seen.token)).age_seconds)
        await asyncio.sleep(0.2)
    assert 5 < oldest < 60
    error = await refusal(auth.authenticate(unseen.token))
    assert error.code == "unavailable"
    await home.postgres.start()

    async def serves_again() -> bool:
        try:
            await auth.authenticate(unseen.token)
        except Refused as refused:
            return refused.error.code != "unavailable"
        return (await auth.authenticate(seen.token)).age_seconds < 5

    await until(serves_again)


async def test_commands_that_nats_dies_under_leave_every_fact_in_the_stream_once_and_in_order(
    home: Home, auth: Auth
) -> None:
    """Orgs and apps are made as fast as they can be while the server is killed three times."""
    made: list[str] = []
    enough = asyncio.Event()
    soon = partial(auth.command, timeout_seconds=1.0)

    async def make(worker: int) -> None:
        for number in itertools.count():
            if enough.is_set():
                return
            try:
                org = await soon("create_org", CreateOrg(name=f"{worker}-{number}"), Org)
                app = await soon("create_app", CreateApp(org_id=org.org_id, slug="ci"), App)
                made.append(app.app_id)
            except (Refused, Unavailable):
                await asyncio.sleep(0.02)

    async def has_made(count: int) -> bool:
        return len(made) >= count

    workers = [asyncio.create_task(make(worker)) for worker in range(4)]
    for _ in range(3):
        await until(partial(has_made, len(made) + 10))
        await home.nats.kill()
        await home.nats.start()
    await until(partial(has_made, len(made) + 10))
    enough.set()
    await asyncio.gather(*workers)
    await until(lambda: _is_drained(home))
    facts = [decode_fact(body) for body in await _stored_bodies(auth)]
    founded = [fact.org_id for fact in facts if isinstance(fact, OrgFounded)]
    created = [fact.app_id for fact in facts if isinstance(fact, AppCreated)]
    assert set(made) <= set(created)
    assert sorted(founded) == await _column(home, "SELECT org_id FROM auth.orgs ORDER BY 1")
    assert sorted(created) == await _column(home, "SELECT app_id FROM auth.apps ORDER BY 1")
    known: set[str] = set()
    for fact in facts:
        if isinstance(fact, AppCreated):
            assert fact.org_id in known
        known.add(fact.org_id)


async def test_a_revocation_missed_while_disconnected_is_not_missed_for_long(home: Home, auth: Auth) -> None:
    """Another process revokes the key in the database; its broadcast never comes, because NATS is dead."""
    key = await auth.key(await auth.app(await auth.org()))
    await auth.authenticate(key.token)
    await home.nats.kill()
    async with await AsyncConnection.connect(home.all_orgs_dsn) as database:
        await database.execute("UPDATE auth.keys SET revoked_at = now() WHERE key_id = %s", [key.key.key_id])
    await home.nats.start()

    async def answers() -> bool:
        return await is_ready(auth.connection, "auth")

    await until(answers)
    assert (await refusal(auth.authenticate(key.token))).code == "invalid_key"


async def _says(log: Path, word: str) -> bool:
    return word in log.read_text()


async def _is_drained(home: Home) -> bool:
    return await _column(home, "SELECT fact_id FROM auth.outbox") == []


async def _column(home: Home, query: str) -> list[str]:
    async with await AsyncConnection.connect(home.all_orgs_dsn) as database:
        return [row[0] for row in await (await database.execute(query.encode())).fetchall()]


async def _stored_bodies(auth: Auth) -> list[bytes]:
    stream = auth.connection.jetstream()
    last = (await stream.stream_info(STREAMS[0])).state.last_seq
    return [(await stream.get_msg(STREAMS[0], seq)).data or b"" for seq in range(1, last + 1)]
