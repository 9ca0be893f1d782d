"""docs/runbooks.md: its commands, typed into a system that has just what each runbook is for."""

import json
import os
import shutil
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from psycopg.conninfo import conninfo_to_dict

from tests.support.breakable import Breakable, breakable_system
from tests.support.client import Answer, Client, client
from tests.support.nats_cluster import clustered_system, leader_of_stream
from tests.support.nats_users import nats_environment
from tests.support.operators import EVENT_TYPE, Caller
from tests.support.read_models import eventually, query, rows_of_request
from tests.support.runbook import Runbook, Terminal
from wepeople_chassis.rpc import call
from wepeople_contracts.operators import App, CreateApp, CreateKey, CreateOrg, NewKey, Org
from wepeople_contracts.subjects import auth_command
from wepeople_embedded.binaries import postgres
from wepeople_embedded.services import ServiceProcess
from wepeople_embedded.state import open_state_dir

EVENT = {"eventType": EVENT_TYPE, "category": "code", "actor": {"externalId": "eng-17"}}
LARGE = [{**EVENT, "metadata": {"text": "x" * 900}}] * 500

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@dataclass(frozen=True, slots=True)
class Ground:
    """A system that may be broken, a terminal of its operator, and an app of the org Demo."""

    breakable: Breakable
    terminal: Terminal
    caller: Caller

    @property
    def services(self) -> dict[str, ServiceProcess]:
        return self.breakable.system.services

    def client(self) -> Any:
        return client(self.breakable.system.gateway_url, self.caller.token)

    async def stop(self, *names: str) -> None:
        for name in names:
            await self.services[name].stop()

    async def count(self) -> int:
        """How many events readers see."""
        rows = await query(self.breakable.system.operator_dsn, "SELECT count(*) AS count FROM live.timeline")
        return int(rows[0]["count"])

    async def settled(self, api: Client) -> int:
        """How many events readers see once they see one more."""
        answer = await sent(api)
        await rows_of_request(self.breakable.system.operator_dsn, answer.json()["requestId"], 1)
        return await self.count()

    async def shows(self, events: int) -> None:
        await eventually(self.count, lambda count: count == events, within_seconds=30, what=f"{events} events")


@pytest.fixture(scope="module")
async def _one_ground(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ground]:
    folder = tmp_path_factory.mktemp("runbooks")
    async with breakable_system(folder / ".wepeople") as breakable:
        terminal = Terminal(folder, environment(folder, breakable.system.admin_dsn))
        yield Ground(breakable, terminal, await demo(breakable))


@pytest.fixture
async def ground(_one_ground: Ground) -> Ground:
    await _one_ground.breakable.mend()
    return _one_ground


def environment(folder: Path, admin_dsn: str) -> dict[str, str]:
    """What the runbooks' preface asks for."""
    parts = conninfo_to_dict(admin_dsn)
    names = ("host", "port", "dbname", "user", "password")
    (folder / ".pg_service.conf").write_text("[wepeople]\n" + "".join(f"{n}={parts[n]}\n" for n in names))
    programs = [str(Path(sys.executable).parent), str(postgres("psql").parent), os.environ["PATH"]]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("WEPEOPLE_")}
    return clean | {
        "PATH": ":".join(programs),
        "HOME": str(folder),
        "WEPEOPLE_STATE_DIR": ".wepeople",
        "WEPEOPLE_SECRETS_DIR": ".wepeople/provision",
    }


async def demo(breakable: Breakable) -> Caller:
    """The org Demo with its app ci, as `wepeople up` makes them."""
    connection = breakable.operator.connection
    org = await call(connection, auth_command("create_org"), CreateOrg(name="Demo", plan="scale"), Org)
    request = CreateApp(org_id=org.org_id, slug="ci", allowed_event_types=[EVENT_TYPE])
    app = await call(connection, auth_command("create_app"), request, App)
    key = await call(connection, auth_command("create_key"), CreateKey(app_id=app.app_id, name="test"), NewKey)
    return Caller(org.org_id, app.app_id, key.key.key_id, key.token)


async def sent(api: Client, key: str | None = None) -> Answer:
    return await eventually(lambda: api.events([EVENT], key), lambda answer: answer.status == 202, what="202")


async def start(ground: Ground, *names: str) -> None:
    for name in names:
        ground.services[name].start()
    for name in names:
        await ground.services[name].wait_ready(ground.breakable.operator.connection)


async def test_lag_grows(ground: Ground) -> None:
    book = Runbook("Lag grows")
    async with ground.client() as api:
        await ground.settled(api)
        await ground.terminal.type("wepeople projection pause live", "")
        body = json.dumps({"events": [EVENT]}).encode()
        # The projector looks about once a second whether it is paused.
        while (await api.post("/events?wait=projected", body)).headers["Projected"] == "true":
            pass
        before = await ground.count()
        for _ in range(5):
            await sent(api)
    assert "paused" in await book.step(ground.terminal)
    assert "application_name" in await book.step(ground.terminal)
    book.by_hand("projector")
    assert await ground.count() == before
    await book.step(ground.terminal)
    await book.step(ground.terminal)
    await ground.shows(before + 6)
    book.ends()


async def test_the_disk_fills(ground: Ground) -> None:
    book = Runbook("The disk fills")
    await book.step(ground.terminal)
    async with ground.client() as api:
        number = 0
        while (answer := await api.events(LARGE, f"fill-{number}")).status == 202:
            number += 1
        assert (answer.status, answer.json()["error"]["code"]) == (503, "unavailable")
        assert int(answer.headers["Retry-After"]) >= 1
        assert "nothing was stored" in answer.json()["error"]["message"]
        first = await api.events(LARGE, "fill-0")
        assert (first.status, first.headers["Idempotent-Replayed"]) == (202, "true")
        await book.step(ground.terminal)
        assert (await api.events(LARGE, f"fill-{number}")).status == 202
    await ground.terminal.type("wepeople provision", "")
    book.ends()


async def test_a_stream_is_full_or_slow(ground: Ground) -> None:
    book = Runbook("A stream is full or slow")
    async with ground.client() as api:
        before = await ground.settled(api)
        key = "over the split"
        first = await sent(api, key)
        await book.step(ground.terminal)
        await book.step(ground.terminal)
        again = await api.events([EVENT], key)
        assert (again.status, again.body) == (first.status, first.body)
        assert await ground.settled(api) == before + 2
    book.by_hand("stream tidy")
    await ground.terminal.type("! wepeople stream tidy", "For … s more…")
    book.ends()


async def test_quotas_owner_is_lost(ground: Ground) -> None:
    book = Runbook("Quota's owner is lost")
    await ground.services["quota"].kill()
    async with ground.client() as api:
        assert (await api.events([EVENT])).status == 202
    assert "False" in await book.step(ground.terminal)
    book.by_hand("quota")
    ground.services["quota"].start()
    await book.step(ground.terminal)
    book.ends()


async def test_restore_from_backup(ground: Ground) -> None:
    book = Runbook("Restore from backup")
    terminal, system = ground.terminal, ground.breakable.system
    async with ground.client() as api:
        before = await ground.settled(api)
        await book.step(terminal)
        await book.step(terminal)
        await sent(api)
    await ground.shows(before + 1)

    book.by_hand("stop auth quota projector")
    await ground.stop("auth", "quota", "projector")
    await book.step(terminal)
    book.by_hand("up", "auth quota projector")
    await start(ground, "auth", "quota", "projector")
    await ground.shows(before + 1)
    async with ground.client() as api:
        await sent(api)
    await ground.shows(before + 2)
    copy = terminal.folder / "backup/stream"
    shutil.rmtree(copy)
    await terminal.type("wepeople stream backup backup/stream", "")

    book.by_hand("stop gateway auth quota projector")
    await ground.stop("gateway", "auth", "quota", "projector")
    await system.nats.stop()
    shutil.rmtree(terminal.folder / ".wepeople/nats/jetstream")
    await system.nats.start()
    await book.step(terminal)
    book.by_hand("up")
    await system.nats.stop()
    await system.nats.start()
    await start(ground, "auth", "quota", "projector", "gateway")
    async with ground.client() as api:
        await sent(api)
    await ground.shows(before + 3)
    await book.step(terminal)
    await ground.shows(before + 3)
    book.ends()


async def test_after_an_older_copy_of_the_stream_the_read_models_are_built_anew_as_adopt_says(ground: Ground) -> None:
    terminal, system = ground.terminal, ground.breakable.system
    async with ground.client() as api:
        before = await ground.settled(api)
        await terminal.type("rm -rf backup; wepeople stream backup backup/stream", "")
        await sent(api)
    await ground.shows(before + 1)
    await ground.stop("gateway", "auth", "quota", "projector")
    await system.nats.stop()
    shutil.rmtree(terminal.folder / ".wepeople/nats/jetstream")
    await system.nats.start()
    shown = "live_v1: holds what is not in the streams; build it anew: wepeople projection rebuild live"
    await terminal.type("wepeople stream restore backup/stream && wepeople provision", "")
    assert shown in await terminal.type("wepeople stream adopt", "")
    await start(ground, "auth", "quota")
    await terminal.type("wepeople projection rebuild live", "")
    await start(ground, "projector", "gateway")
    await ground.shows(before)
    async with ground.client() as api:
        assert await ground.settled(api) == before + 1
    await terminal.type("wepeople prove", "")


async def test_a_nats_node_is_lost(tmp_path: Path) -> None:
    book = Runbook("A NATS node is lost")
    with open_state_dir(tmp_path / "state") as state:
        async with clustered_system(state) as clustered:
            terminal = Terminal(
                tmp_path,
                os.environ
                | nats_environment("operator", clustered.cluster.url)
                | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
                | {"WEPEOPLE_POSTGRES_DSN": clustered.operator_dsn},
            )
            caller = await clustered.operator.caller()
            name = await leader_of_stream(clustered.operator.connection)
            lost = clustered.cluster.nodes[name]
            async with client(clustered.gateway_url, caller.token) as api:
                await sent(api)
                await lost.kill()
                await sent(api)
                assert "2 of 3" in await book.step(terminal)
                book.by_hand("cluster")
                shutil.rmtree(state.path / "nats" / name / "jetstream")
                await lost.start()
                await book.step(terminal)
                await sent(api)
    book.ends()


async def test_keys_passwords_and_certificates_change(ground: Ground) -> None:
    book = Runbook("Keys, passwords and certificates change")
    await book.step(ground.terminal)
    book.by_hand("secrets")
    assert "rotated" in await book.step(ground.terminal)
    book.by_hand("wepeople key revoke")
    book.ends()


async def test_a_projection_is_parked(ground: Ground) -> None:
    book = Runbook("A projection is parked")
    headers = {"Nats-Msg-Id": "of-nobody"}
    subject = f"ingest.0.{ground.caller.org_id}.{ground.caller.app_id}.events"
    stored = await ground.breakable.operator.connection.jetstream().publish(subject, b"no envelope", headers=headers)
    terminal = Terminal(ground.terminal.folder, {**ground.terminal.environment, "SEQUENCE": str(stored.seq)})
    await terminal.type("wepeople projection parked list live", f"… {stored.seq} …")
    assert str(stored.seq) in await book.step(terminal)
    for _ in ("show", "skip", "list"):
        await book.step(terminal)
    book.ends()


async def test_the_order_of_an_upgrade(ground: Ground) -> None:
    book = Runbook("The order", "upgrade.md")
    async with ground.client() as api:
        before = await ground.settled(api)
        await book.step(ground.terminal)
        await book.step(ground.terminal)
        book.by_hand("--no-deps", "quota")
        for name in ("quota", "projector", "auth", "gateway"):
            await ground.stop(name)
            await start(ground, name)
            await sent(api)
        await book.step(ground.terminal)
        await book.step(ground.terminal)
    await ground.shows(before + 4)
    book.ends()


def test_every_runbook_is_followed_here_or_has_no_commands() -> None:
    followed = {name for name in globals() if name.startswith("test_")}
    for title in Runbook.titles():
        name = "test_" + title.lower().replace("'", "").replace(",", "").replace(" ", "_")
        assert name in followed, title
