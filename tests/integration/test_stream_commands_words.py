"""What `wepeople stream …` says where there is nothing to work on: plain words, soon, and exit code 1."""

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path

import pytest
from nats.aio.client import Client

from tests.support.lone_stream import Server, eventually
from tests.support.shell import WEPEOPLE
from wepeople_chassis.broker import NatsAddress
from wepeople_contracts.subjects import PARTITIONS, stream_subjects
from wepeople_embedded.ports import free_port
from wepeople_provision import provision
from wepeople_provision.errors import ProvisionError
from wepeople_provision.provision import nats_at
from wepeople_provision.stream import provision_streams
from wepeople_provision.stream_api import ask
from wepeople_provision.stream_cut import change


@dataclass(frozen=True, slots=True)
class Ended:
    code: int | None
    said: str


async def stream(server: Server, *arguments: str) -> Ended:
    process = await asyncio.create_subprocess_exec(
        WEPEOPLE,
        "stream",
        *arguments,
        env=os.environ | {"WEPEOPLE_NATS_URL": server.url},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(30):
        said, _ = await process.communicate()
    return Ended(process.returncode, said.decode())


async def test_while_nats_is_away_a_command_says_that_it_waits_and_then_why_it_ends(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(provision, "SILENT_SECONDS", 0.1)
    monkeypatch.setattr(provision, "NATS_SECONDS", 0.5)
    url = f"nats://127.0.0.1:{free_port()}"
    with pytest.raises(ProvisionError, match=f"NATS at {url} did not answer in time. The last reason: "):
        async with nats_at(NatsAddress(url)):
            pass
    assert capsys.readouterr().err.startswith(f"NATS at {url} does not answer (")


async def test_where_there_is_no_stream_it_says_what_to_run_first(connection: Client, server: Server) -> None:
    ended = await stream(server, "tidy")
    assert ended == Ended(1, "there is no stream; run `wepeople provision` first\n")


async def test_while_nobody_takes_some_partitions_nothing_is_called_tidy(connection: Client, server: Server) -> None:
    await eventually(lambda: provision_streams(connection))
    await change(
        connection,
        await ask(connection, "STREAM.INFO", "INGEST"),
        subjects=stream_subjects(range(PARTITIONS - 2)),
    )
    ended = await stream(server, "tidy")
    assert ended.code == 1
    assert ended.said.startswith("no stream takes partition 14, 15 now; if that lasts, a split was broken off: ")


@pytest.mark.parametrize("keep", [(), ("--keep", "3")])
async def test_where_a_copy_cannot_be_written_it_says_so_and_nothing_of_nats(
    connection: Client, server: Server, tmp_path: Path, keep: tuple[str, ...]
) -> None:
    await eventually(lambda: provision_streams(connection))
    (tmp_path / "file").touch()
    ended = await stream(server, "backup", str(tmp_path / "file/copy"), *keep)
    assert ended == Ended(1, f"The copy in {tmp_path}/file/copy could not be written: Not a directory.\n")
