"""`wepeople prove` on a running system: a certificate while clients go on sending, or the first difference."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from psycopg import AsyncConnection

from tests.support.client import Client, client
from tests.support.read_models import query, rows_of_request
from tests.support.shell import Result
from tests.support.shell import wepeople as run_wepeople
from tests.support.system import RunningSystem
from wepeople_chassis.tasks import end


@pytest.fixture
async def demo(system: RunningSystem) -> AsyncIterator[Client]:
    async with client(system.gateway_url, system.api_key) as caller:
        yield caller


async def prove(system: RunningSystem, *arguments: str) -> Result:
    operator = json.loads((system.state_dir / "operator.json").read_text())
    dsn = {"WEPEOPLE_PROJECTOR_DSN": operator["projector_dsn"]}
    return await run_wepeople(system.nats_url, system.operator_dsn, "prove", *arguments, **dsn)


def certificate_of(result: Result) -> dict[str, Any]:
    """The last line; those before show the progress."""
    found: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return found


async def send(demo: Client, names: list[str | None]) -> str:
    """Send events, some of which have a name, and two rows that are no events; the request's id."""
    events = [
        {"eventType": "deploy.shipped", "category": "code", "actor": {"externalId": f"eng-{n}"}}
        | ({"id": name} if name else {})
        for n, name in enumerate(names)
    ]
    answer = await demo.post("/events", json.dumps({"events": [*events, {"eventType": "?"}, {}]}).encode())
    request_id: str = answer.json()["requestId"]
    return request_id


@asynccontextmanager
async def sending(demo: Client) -> AsyncIterator[None]:
    """A client that sends all the while."""

    async def work() -> None:
        number = 0
        while True:
            await send(demo, [f"again-{number % 5}", None])
            number += 1

    task = asyncio.create_task(work())
    try:
        yield
    finally:
        await end([task])


async def test_while_clients_send_it_proves_every_table_every_event_and_the_month(
    system: RunningSystem, demo: Client
) -> None:
    await rows_of_request(system.operator_dsn, await send(demo, ["first", None, "first"]), 2)
    async with sending(demo):
        result = await prove(system, "--json")
    certificate = certificate_of(result)
    assert (result.code, certificate["difference"]) == (0, None), result.stderr
    tables = {table["table"]: table for table in certificate["tables"]}
    assert {"workers", "timeline", "latest_snapshots", "requests", "rejects", "identifiers"} <= tables.keys()
    assert tables["timeline"]["rows"] == sum(org["timeline"] for org in certificate["orgs"])
    [org] = [org for org in certificate["orgs"] if org["org_id"] == system.demo.organization_id]
    assert org["timeline"] == org["accepted"] - org["repeated"] - org["aside"] - org["dropped"] > 0
    assert org["repeated"] > 0
    assert org["month"]["charged"] == org["month"]["used"] >= org["timeline"]
    assert len(certificate["positions"]) == 16


async def test_the_certificate_can_be_read(system: RunningSystem) -> None:
    result = await prove(system)
    assert result.code == 0, result.stderr
    assert "Proved: the read models and the month are what the stream makes of them." in result.stdout
    assert system.demo.organization_id in result.stdout


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            "UPDATE live_v1.timeline SET duration = 7 WHERE event_id = %(event)s",
            "duration is 7, but the stream makes null",
        ),
        ("DELETE FROM live_v1.timeline WHERE event_id = %(event)s", "the stream makes it, but it is not there"),
    ],
)
async def test_one_value_that_the_stream_does_not_make_is_found(
    system: RunningSystem, demo: Client, change: str, words: str
) -> None:
    [row] = await rows_of_request(system.operator_dsn, await send(demo, [None]), 1)
    async with changed(system, change, row["event_id"]):
        result = await prove(system)
    assert result.code == 1
    assert "NOT proved" in result.stderr
    assert words in " ".join(result.stderr.split())
    assert (await prove(system)).code == 0


@asynccontextmanager
async def changed(system: RunningSystem, change: str, event_id: str) -> AsyncIterator[None]:
    """Change the row of an event, and put it back."""
    event = {"event": event_id}
    async with await AsyncConnection.connect(system.admin_dsn, autocommit=True) as admin:
        await admin.execute(
            "CREATE TABLE public.kept AS SELECT * FROM live_v1.timeline WHERE event_id = %(event)s", event
        )
        try:
            await admin.execute(change.encode(), event)
            yield
        finally:
            await admin.execute("DELETE FROM live_v1.timeline WHERE event_id = %(event)s", event)
            await admin.execute("INSERT INTO live_v1.timeline SELECT * FROM public.kept")
            await admin.execute("DROP TABLE public.kept")
    assert await query(system.operator_dsn, "SELECT FROM live.timeline WHERE event_id = %(event)s", event)
