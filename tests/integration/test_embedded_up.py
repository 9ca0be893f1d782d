"""`wepeople up` as its user sees it: real processes, in one state directory, run after run."""

import asyncio
import json
import os
import signal
import stat
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from psycopg import AsyncConnection

from tests.support.up_process import UpProcess, gone, read_demo, up
from wepeople_embedded.ports import free_port

DEMO_KEYS = ["gatewayUrl", "apiKey", "organizationId", "appSlug", "natsUrl", "postgresDsn"]
EVENT = {"eventType": "deploy.shipped", "category": "code", "actor": {"externalId": "eng-17"}}


@pytest.fixture(scope="module")
def state_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One state directory for all runs that come to an end."""
    return tmp_path_factory.mktemp("up") / "state"


@pytest.fixture(scope="module")
def port() -> int:
    """The gateway's port in all of them."""
    return free_port()


@pytest.fixture
async def running(state_dir: Path, port: int) -> AsyncIterator[UpProcess]:
    """A run that is ready, for a test that ends it."""
    async with up(state_dir, port) as process:
        yield process


@pytest.fixture(scope="module")
async def watched(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[UpProcess]:
    """A run that is ready, in a state directory of its own, for the tests that only look."""
    async with up(tmp_path_factory.mktemp("watched") / "state", free_port()) as process:
        yield process


async def refused(process: UpProcess) -> str:
    """What a run says that must not start anything; spaces and line ends count alike."""
    assert await process.wait_ended() == 1, process.output
    return " ".join(process.output.split())


async def post_event(demo: dict[str, str]) -> str:
    headers = {"Authorization": f"Bearer {demo['apiKey']}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(f"{demo['gatewayUrl']}/api/v1/ingest/events", json={"events": [EVENT]}) as response,
    ):
        assert response.status == 202, await response.text()
        event_id: str = (await response.json())["results"][0]["eventId"]
        return event_id


async def wait_for_row(demo: dict[str, str], event_id: str) -> tuple[Any, ...]:
    deadline = time.monotonic() + 10
    async with await AsyncConnection.connect(demo["postgresDsn"], autocommit=True) as connection:
        while True:
            found = await connection.execute(
                "SELECT org_id, event_type, connection FROM live.timeline WHERE event_id = %s", [event_id]
            )
            if (row := await found.fetchone()) is not None:
                return row
            assert time.monotonic() < deadline, f"{event_id} did not reach live.timeline"
            await asyncio.sleep(0.05)


async def test_the_second_run_still_has_the_first_ones_org_key_and_events(state_dir: Path, port: int) -> None:
    async with up(state_dir, port) as first:
        demo = read_demo(state_dir)
        event_id = await post_event(demo)
        row = (demo["organizationId"], "deploy.shipped", "custom:ci")
        assert await wait_for_row(demo, event_id) == row
        first.send(signal.SIGINT)
        assert await first.wait_ended() == 0
    async with up(state_dir, port):
        again = read_demo(state_dir)
        assert again == demo
        assert await wait_for_row(again, event_id) == row


async def test_demo_json_has_exactly_what_scripts_are_promised_and_only_its_owner_reads_it(
    watched: UpProcess,
) -> None:
    demo = read_demo(watched.state_dir)
    assert list(demo) == DEMO_KEYS
    assert (demo["gatewayUrl"], demo["appSlug"]) == (f"http://127.0.0.1:{watched.port}", "ci")
    assert watched.state_dir is not None
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in [watched.state_dir, *watched.state_dir.iterdir()]}
    assert modes["state"] == 0o700
    assert {modes[name] for name in ("demo.json", "operator.json", "passwords.json", "nats_seeds.json")} == {0o600}


async def test_the_lines_on_the_screen_work_as_they_are_pasted(watched: UpProcess) -> None:
    pasted = [line for line in watched.output.splitlines() if line.startswith("curl ")]
    assert len(pasted) == 3
    accepted = [json.loads(subprocess.run(line, shell=True, check=True, capture_output=True).stdout) for line in pasted]
    assert accepted[0]["app"] == {"slug": "ci"}
    assert [answer["accepted"] for answer in accepted[1:]] == [1, 1]
    looks = [line for line in watched.output.splitlines() if "bin/" in line]
    assert len(looks) == 3
    for line in looks:
        subprocess.run(line, shell=True, check=True, capture_output=True)


async def test_a_second_run_in_the_same_state_directory_is_refused_with_the_firsts_pid(
    watched: UpProcess, tmp_path: Path
) -> None:
    said = await refused(UpProcess(watched.state_dir, free_port(), tmp_path / "out"))
    assert f"in use by another run (pid {watched.pid})" in said


async def test_a_taken_port_is_refused_before_anything_starts(watched: UpProcess, tmp_path: Path) -> None:
    said = await refused(UpProcess(tmp_path / "other", watched.port, tmp_path / "out"))
    assert f"Port {watched.port} of 127.0.0.1 is taken" in said
    assert not (tmp_path / "other" / "nats").exists()


async def test_ctrl_c_stops_every_process_within_ten_seconds(running: UpProcess) -> None:
    descendants = running.descendants()
    assert len(descendants) >= 6
    started = time.monotonic()
    running.send(signal.SIGINT)
    assert await running.wait_ended() == 0
    assert time.monotonic() - started < 10
    assert await gone(descendants, timeout_seconds=0)


async def test_a_second_ctrl_c_kills_what_does_not_stop(running: UpProcess) -> None:
    descendants = running.descendants()
    stuck = next(p for p in descendants if "wepeople_gateway" in p.cmdline())
    stuck.suspend()
    running.send(signal.SIGINT)
    while "Stopping" not in running.output:
        await asyncio.sleep(0.01)
    started = time.monotonic()
    running.send(signal.SIGINT)
    assert await running.wait_ended() == 0
    assert time.monotonic() - started < 3
    assert await gone(descendants, timeout_seconds=1)


async def test_a_service_that_dies_ends_the_run_with_its_name_code_and_log(running: UpProcess, state_dir: Path) -> None:
    descendants = running.descendants()
    victim = next(p for p in descendants if "wepeople_projector" in p.cmdline())
    victim.kill()
    assert await running.wait_ended() == 1
    assert "projector ended with code -9" in running.output
    assert str(state_dir / "logs" / "projector.log") in running.output
    assert await gone(descendants, timeout_seconds=0)


async def test_when_the_run_itself_is_killed_nothing_survives_it_and_the_next_one_starts(
    state_dir: Path, port: int
) -> None:
    async with up(state_dir, port) as first:
        descendants = first.descendants()
        first.send(signal.SIGKILL)
        await first.wait_ended()
        assert await gone(descendants, timeout_seconds=5)
    async with up(state_dir, port):
        await post_event(read_demo(state_dir))


async def test_ctrl_c_while_it_starts_leaves_no_process(state_dir: Path, port: int, tmp_path: Path) -> None:
    starting = UpProcess(state_dir, port, tmp_path / "out")
    deadline = time.monotonic() + 20
    while not any("postgres" in p.name() for p in starting.descendants()):
        assert time.monotonic() < deadline, starting.output
        await asyncio.sleep(0.01)
    descendants = starting.descendants()
    starting.send(signal.SIGINT)
    assert await starting.wait_ended() == 0
    assert await gone(descendants, timeout_seconds=0)
    assert "Traceback" not in starting.output


async def test_an_ephemeral_run_leaves_no_directory_and_without_a_demo_no_key(tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    environment = os.environ | {"TMPDIR": str(temporary)}
    process = UpProcess(None, free_port(), tmp_path / "out", "--no-demo", environment=environment)
    try:
        await process.wait_ready()
        assert len(list(temporary.iterdir())) == 1
        assert "wp_live_" not in process.output
        process.send(signal.SIGTERM)
        assert await process.wait_ended() == 0
    finally:
        process.kill()
    assert list(temporary.iterdir()) == []
