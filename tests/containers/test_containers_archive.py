"""The archiver beside a deployment that was there before: what is sent is archived, and commands find it there."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from tests.support.client import client
from tests.support.compose import COMPOSE_FILE, Compose, docker
from tests.support.deployment import FOLDER, Deployment
from tests.support.operators import EVENT_TYPE
from tests.support.read_models import eventually
from tests.support.system import RunningSystem

OVERLAYS = (COMPOSE_FILE.with_name("compose.archive.yaml"), FOLDER / "compose.archive.tests.yaml")
EVENT = {"eventType": EVENT_TYPE, "category": "code", "actor": {"externalId": "eng-17"}}


@pytest.fixture
async def archived(deployment: Deployment) -> AsyncIterator[Compose]:
    compose = replace(deployment.compose, files=(*deployment.compose.files, *OVERLAYS))
    await compose("up", "--wait")
    yield compose
    await deployment.compose("up", "--wait", "--remove-orphans")
    await docker("volume", "rm", f"{compose.project}_archive")


async def test_what_is_sent_is_archived_and_whoever_reads_the_stream_can_read_the_archive(
    archived: Compose, system: RunningSystem
) -> None:
    async with client(system.gateway_url, system.api_key) as api:
        assert (await eventually(lambda: api.events([EVENT]), lambda sent: sent.status == 202, what="a 202")).json()

    async def as_far_as_the_stream() -> bool:
        rows = await asked(archived, "status")
        return bool(max(row["verified"] or 0 for row in rows) == max(row["stream_last"] for row in rows))

    await eventually(as_far_as_the_stream, bool, what="everything is archived and verified")
    verdicts = await asked(archived, "verify")
    assert sum(verdict["messages_with_stream"] for verdict in verdicts) > 0
    [planned, *_] = await asked(archived, "trim", "--keep-days", "0")
    assert planned["held"][0]["why"] == "it is too young"
    for service in ("quota", "projector"):
        assert "archive.json" in await archived("exec", "-T", service, "ls", "/var/lib/wepeople/archive")


async def asked(compose: Compose, *command: str) -> list[dict[str, Any]]:
    answer: list[dict[str, Any]] = json.loads(await compose("run", "--rm", "operator", "archive", *command, "--json"))
    return answer
