"""What operators ask of a system whose stream was split: its proof, its status, and where a request is."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.breakable import Breakable, breakable_system
from tests.support.client import client
from tests.support.exactness import events_body
from tests.support.operators import Caller
from tests.support.read_models import rows_of_request
from tests.support.shell import Result
from tests.support.shell import wepeople as run_wepeople
from tests.support.split_load import Provisioner, callers_of_quarters


@pytest.fixture
async def whole(tmp_path: Path) -> AsyncIterator[Breakable]:
    """A system of this test alone."""
    async with breakable_system(tmp_path / "state") as running:
        yield running


async def wepeople(whole: Breakable, *arguments: str) -> Result:
    system = whole.system
    dsn = {"WEPEOPLE_PROJECTOR_DSN": system.projector_dsn}
    return await run_wepeople(system.nats.url, system.operator_dsn, *arguments, **dsn)


async def send(whole: Breakable, callers: list[Caller], marker: str) -> list[str]:
    """A request of two events of each; their ids, once they can be read."""
    ids = []
    for caller in callers:
        async with client(whole.system.gateway_url, caller.token) as api:
            answer = await api.post("/events", events_body(f"{marker}-a", f"{marker}-b"))
        assert answer.status == 202, answer
        ids.append(answer.json()["requestId"])
    for request_id in ids:
        await rows_of_request(whole.system.operator_dsn, request_id, 2, within_seconds=30)
    return ids


async def test_both_halves_are_proved_shown_and_searched(whole: Breakable, tmp_path: Path) -> None:
    callers = await callers_of_quarters(whole.operator)
    before = await send(whole, callers, "before")
    await Provisioner(tmp_path / "state/provision").stream("split")
    after = await send(whole, callers, "after")

    result = await wepeople(whole, "prove", "--json")
    certificate = json.loads(result.stdout.splitlines()[-1])
    assert (result.code, certificate["difference"]) == (0, None), result.stderr
    assert [stream["name"] for stream in certificate["streams"]] == ["INGEST", "INGEST_8"]
    found = {org["org_id"]: (org["timeline"], org["month"]["charged"]) for org in certificate["orgs"]}
    assert {caller.org_id: found[caller.org_id] for caller in callers} == {caller.org_id: (4, 4) for caller in callers}

    status = json.loads((await wepeople(whole, "status", "--json")).stdout)
    assert [len(stream["partitions"]) for stream in status["streams"]] == [8, 8]
    assert (status["projections"][0]["lag_messages"], status["notes"]) == (0, [])

    for request_id in (*before, *after):
        trace = json.loads((await wepeople(whole, "request", request_id, "--json")).stdout)
        assert [row["status"] for row in trace["results"]] == ["accepted", "accepted"]
