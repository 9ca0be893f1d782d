"""The projector while Postgres or NATS is away: it waits, comes back by itself, and has lost nothing."""

import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from tests.support.projecting import Projecting, projector_process
from tests.support.read_models import eventually
from tests.support.stored import envelope, founded, raw
from wepeople_chassis.broker import NatsAddress, close, connect
from wepeople_contracts.envelope import Envelope
from wepeople_contracts.ids import new_id
from wepeople_embedded.nats_server import NatsServer
from wepeople_embedded.ports import free_port
from wepeople_embedded.postgres_server import PostgresServer
from wepeople_provision.dsn import login_dsn
from wepeople_provision.provision import provision
from wepeople_provision.roles import LOGIN_ROLES

ORG = new_id("org")


class Ground:
    """Servers of this module alone, which its tests take away and bring back, and one projector."""

    def __init__(self, directory: Path) -> None:
        self._passwords = {role: secrets.token_urlsafe(12) for role in LOGIN_ROLES}
        self.nats = NatsServer(directory / "nats", port=free_port(), log_path=directory / "nats.log")
        self.postgres = PostgresServer(
            directory / "postgres",
            port=free_port(),
            password=secrets.token_urlsafe(16),
            log_path=directory / "postgres.log",
        )
        dsn = login_dsn(self.postgres.dsn(), "wepeople_projector", self._passwords["wepeople_projector"])
        self.projector = projector_process(self.nats.url, dsn, directory)

    async def start(self) -> None:
        await self.nats.start()
        await self.postgres.start()
        await provision(NatsAddress(self.nats.url), self.postgres.dsn(), self._passwords)

    async def stop(self) -> None:
        await self.projector.kill()
        await self.nats.stop()
        await self.postgres.stop()


@pytest.fixture(scope="module")
async def ground(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ground]:
    ground = Ground(tmp_path_factory.mktemp("projector-ground"))
    await ground.start()
    yield ground
    await ground.stop()


@pytest.fixture(scope="module")
async def projecting(ground: Ground) -> AsyncIterator[Projecting]:
    connection = await connect(NatsAddress(ground.nats.url), "tests")
    ground.projector.start()
    await ground.projector.wait_ready(connection)
    running = Projecting(connection, ground.postgres.dsn(), ground.projector)
    await running.stored_and_applied(founded(ORG))
    yield running
    await close(connection)


def request() -> Envelope:
    return envelope(ORG, [raw({"eventType": "x", "category": "code", "actor": {"externalId": "e"}})] * 3)


async def expect_in_timeline(projecting: Projecting, requests: list[Envelope]) -> None:
    expected = sorted(row.event_id for one in requests for row in one.accepted)
    await eventually(
        lambda: projecting.rows(
            "SELECT event_id FROM live_v1.timeline WHERE request_id = ANY(%(ids)s) ORDER BY 1",
            ids=[one.request_id for one in requests],
        ),
        lambda rows: [row["event_id"] for row in rows] == expected,
        within_seconds=30,
    )


async def test_what_came_while_postgres_was_away_is_there_soon_after_it_is_back(
    ground: Ground, projecting: Projecting
) -> None:
    requests = [request() for _ in range(20)]
    await projecting.store(*requests[:10])
    await ground.postgres.kill()
    await projecting.store(*requests[10:])
    await ground.postgres.start()
    await expect_in_timeline(projecting, requests)


async def test_what_is_stored_after_nats_was_killed_is_applied(ground: Ground, projecting: Projecting) -> None:
    requests = [request() for _ in range(20)]
    await projecting.store(*requests[:10])
    await ground.nats.kill()
    await ground.nats.start()
    await eventually(projecting.connected, bool, within_seconds=10, what="connected again")
    await projecting.store(*requests[10:])
    await expect_in_timeline(projecting, requests)


async def test_started_before_both_servers_it_waits_for_them(ground: Ground, projecting: Projecting) -> None:
    await ground.projector.stop()
    await ground.postgres.stop()
    await ground.nats.stop()
    ground.projector.start()
    # Longer than it takes to load and to be refused a connection: what it must not do is give up.
    assert await ground.projector.child.wait(timeout_seconds=3) is None
    await ground.nats.start()
    assert await ground.projector.child.wait(timeout_seconds=3) is None
    await ground.postgres.start()
    await ground.projector.wait_ready(projecting.connection)
    requests = [request()]
    await projecting.store(*requests)
    await expect_in_timeline(projecting, requests)


@pytest.mark.parametrize("server", ["nats", "postgres"])
async def test_it_stops_in_time_with_code_0_although_a_server_hangs(
    ground: Ground, projecting: Projecting, server: str
) -> None:
    await projecting.store(request())
    main = psutil.Process((ground.nats if server == "nats" else ground.postgres).child.pid)
    hung = [main, *main.children(recursive=True)]
    for one in hung:
        one.suspend()
    try:
        assert await ground.projector.stop(timeout_seconds=5) == 0
    finally:
        for one in hung:
            one.resume()
    ground.projector.start()
    await ground.projector.wait_ready(projecting.connection)
