"""The archive of a whole running system: what left the stream is read from object storage, and all stays as it was."""

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client as NatsClient

from tests.support.archiving import LATER_NS
from tests.support.client import Client, client
from tests.support.read_models import eventually
from tests.support.s3 import KEY, s3_bucket
from tests.support.shell import WEPEOPLE, Result
from tests.support.up_process import UpProcess, read_demo
from wepeople_archive.archive import Archive
from wepeople_archive.opening import open_archive
from wepeople_archiver.checkpoints import all_readers
from wepeople_archiver.purging import identities, plan_trim, trim
from wepeople_archiver.trimming import Plan
from wepeople_chassis.archive_settings import ArchiveSettings
from wepeople_chassis.broker import NatsAddress, connect
from wepeople_chassis.stream import StreamState, stream_states
from wepeople_embedded.ports import free_port

REQUESTS = 30


@dataclass
class Archived:
    """A system with an archiver, and how commands reach it."""

    state_dir: Path
    environment: dict[str, str]
    up: UpProcess
    api: Client

    async def wepeople(self, *arguments: str) -> Result:
        process = await asyncio.create_subprocess_exec(
            WEPEOPLE,
            *arguments,
            env=self.environment | {"WEPEOPLE_STATE_DIR": str(self.state_dir)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(90):
            stdout, stderr = await process.communicate()
        return Result(process.returncode or 0, stdout.decode(), stderr.decode())

    async def status(self) -> list[dict[str, Any]]:
        return list((await self.wepeople("archive", "status", "--json")).json)


@pytest.fixture
async def system_with_archive(tmp_path: Path) -> AsyncIterator[Archived]:
    with s3_bucket() as url:
        environment = os.environ | KEY | {"WEPEOPLE_ARCHIVE_URL": url, "WEPEOPLE_ARCHIVE_FILE_SECONDS": "0.3"}
        port = free_port()
        process = UpProcess(tmp_path / "state", port, tmp_path / "out", environment=environment)
        try:
            await process.wait_ready()
            key = read_demo(tmp_path / "state")["apiKey"]
            async with client(f"http://127.0.0.1:{port}", key) as api:
                yield Archived(tmp_path / "state", environment, process, api)
        finally:
            process.send(signal.SIGTERM)
            await process.wait_ended()


async def trim_all_that_is_old(system: Archived) -> dict[str, int]:
    """As `wepeople archive trim` does it, ten years later; how many messages each stream has lost."""
    operator = json.loads((system.state_dir / "operator.json").read_text())
    settings = ArchiveSettings.model_validate(
        {
            "archive_url": operator["archive_url"],
            "archive_access_key_id": KEY["WEPEOPLE_ARCHIVE_ACCESS_KEY_ID"],
            "archive_secret_access_key": KEY["WEPEOPLE_ARCHIVE_SECRET_ACCESS_KEY"],
        }
    )
    connection = await connect(NatsAddress(operator["nats_url"], operator["trimmer_seed"]), "test-trimmer")
    archive = open_archive(settings)
    gone = {}
    try:
        for stream in await stream_states(connection):
            planned = await eventually(
                partial(planned_later, connection, archive, stream, operator["postgres_dsn"]),
                # Of a quiet partition a reader says only now and then how far it is.
                partial(all_but_the_last, stream),
                what="all but the last message may go",
            )
            gone[stream.name] = await trim(connection, archive, stream, planned)
    finally:
        await connection.close()
    return gone


async def planned_later(connection: NatsClient, archive: Archive, stream: StreamState, dsn: str) -> Plan:
    readers = await all_readers(dsn, identities([stream]))
    assert {reader.name for reader in readers} >= {"live_v1", "quota"}
    return await plan_trim(connection, archive, stream, readers, keep_days=0, now_ns=time.time_ns() + LATER_NS)


def all_but_the_last(stream: StreamState, planned: Plan) -> bool:
    return planned.before == stream.last_sequence


def event(number: int) -> dict[str, Any]:
    return {
        "eventType": "deploy.shipped",
        "category": "code",
        "actor": {"externalId": f"eng-{number % 4}"},
        "metadata": {"number": number},
    }


async def test_what_left_the_stream_is_replayed_from_object_storage(system_with_archive: Archived) -> None:
    system = system_with_archive
    for number in range(REQUESTS):
        assert (await system.api.events([event(number), event(number)])).status == 202

    async def is_archived() -> bool:
        rows = await system.status()
        return bool(max(row["verified"] or 0 for row in rows) == max(row["stream_last"] for row in rows))

    await eventually(is_archived, bool, what="everything is archived and verified")
    verified = (await system.wepeople("archive", "verify", "--json")).json
    assert sum(row["messages_with_stream"] for row in verified) >= REQUESTS
    before = certificate(await system.wepeople("prove", "--json"))

    refused = (await system.wepeople("archive", "trim", "--keep-days", "0", "--yes", "--json")).json
    assert [(plan["trimmed_messages"], plan["held"][0]["why"]) for plan in refused] == [(None, "it is too young")]
    gone = await trim_all_that_is_old(system)
    [row, *_] = await system.status()
    assert row["stream_first"] == row["stream_last"] == gone["INGEST"] + 1

    assert certificate(await system.wepeople("prove", "--json"))["tables"] == before["tables"]
    rebuilt = await system.wepeople("projection", "rebuild", "live")
    assert rebuilt.code == 0, rebuilt.stderr
    after = certificate(await system.wepeople("prove", "--json"))
    assert after["tables"] == before["tables"]
    assert after["orgs"] == before["orgs"]
    everything = await system.wepeople("archive", "verify", "--all", "--json")
    assert sum(row["messages_with_notes"] for row in everything.json) == gone["INGEST"] + 1, (
        "the file has the last one too"
    )

    system.environment.pop("WEPEOPLE_ARCHIVE_URL")
    (system.state_dir / "operator.json").write_text(
        json.dumps(json.loads((system.state_dir / "operator.json").read_text()) | {"archive_url": None})
    )
    lost = await system.wepeople("prove")
    assert lost.code == 1
    assert "Set WEPEOPLE_ARCHIVE_URL" in lost.stderr


def certificate(result: Result) -> dict[str, Any]:
    assert result.code == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return found
