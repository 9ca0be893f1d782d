"""`wepeople rejects retry`: rejected rows come in after all, through the front door."""

from typing import Any

import pytest

from tests.support.client import Client, client
from tests.support.operators import EVENT_TYPE, Caller, Operators
from tests.support.read_models import eventually, query, rows_of_request
from tests.support.shell import Result, wepeople
from tests.support.system import RunningSystem
from wepeople_chassis.rpc import call
from wepeople_contracts.operators import AllowEventTypes, App
from wepeople_contracts.subjects import auth_command

METADATA = '{ "b": 1.10,  "a": 2 }'


def row(event_type: str, **more: Any) -> dict[str, Any]:
    return {"eventType": event_type, "category": "code", "actor": {"externalId": "eng-17"}, **more}


async def retry(system: RunningSystem, *arguments: str, key: str | None = None) -> Result:
    """Type the command as its operator, with the gateway's address from the state directory."""
    environment = {"WEPEOPLE_STATE_DIR": str(system.state_dir)}
    if key is not None:
        environment["WEPEOPLE_API_KEY"] = key
    return await wepeople(system.nats_url, system.operator_dsn, "rejects", "retry", *arguments, **environment)


async def rejected_request(system: RunningSystem, api: Client, body: bytes) -> str:
    """Send a body, and return its request's id once its rejected rows are listed."""
    answer = (await api.post("/events", body)).json()
    request_id: str = answer["requestId"]
    statement = "SELECT row_index FROM live.rejects WHERE request_id = %(id)s"
    await eventually(
        lambda: query(system.operator_dsn, statement, {"id": request_id}),
        lambda rows: len(rows) == answer["rejected"] > 0,
    )
    return request_id


@pytest.fixture
async def mine(operator: Operators) -> Caller:
    return await operator.caller()


async def test_rows_whose_type_is_allowed_by_now_are_accepted_as_they_were_sent(
    system: RunningSystem, operator: Operators, mine: Caller
) -> None:
    forbidden = (
        f'{{"eventType": "review.done", "category": "code", "actor": {{"externalId": "e"}}, "metadata": {METADATA}}}'
    )
    allowed = f'{{"eventType": "{EVENT_TYPE}", "category": "code", "actor": {{"externalId": "e"}}}}'
    async with client(system.gateway_url, mine.token) as api:
        body = f'{{"events": [{allowed}, {forbidden}, {forbidden}]}}'.encode()
        request_id = await rejected_request(system, api, body)
    await call(
        operator.connection,
        auth_command("allow_event_types"),
        AllowEventTypes(app_id=mine.app_id, event_types=["review.done"]),
        App,
    )
    fresh_key = (await operator.key(mine.app_id)).token  # the other one's whitelist may be remembered for a minute

    one = (await retry(system, request_id, "2", "--json", key=fresh_key)).json
    assert [(r["row_index"], r["status"]) for r in one] == [(2, "accepted")]
    both = await retry(system, request_id, "--key", fresh_key)
    assert both.code == 0, both.stderr
    again = both.stderr.split("Accepted as ")[1].split(".")[0]
    rows = await rows_of_request(system.operator_dsn, again, 2)
    assert [r["metadata_raw"] for r in rows] == [METADATA, METADATA]


async def test_a_row_that_is_rejected_again_ends_with_code_1_and_the_reason(
    system: RunningSystem, mine: Caller
) -> None:
    async with client(system.gateway_url, mine.token) as api:
        request_id = await rejected_request(system, api, b'{"events": [{"eventType": "\\ud83d"}, {"category": 17}]}')
    result = await retry(system, request_id, "1", "--json", key=mine.token)
    assert result.code == 1
    assert '"row_index": 1' in result.stdout
    assert "invalid_body" in result.stdout
    assert "1 of 1 rows were rejected again" in result.stderr


async def test_the_key_of_another_app_or_of_nobody_sends_nothing(
    system: RunningSystem, operator: Operators, mine: Caller
) -> None:
    async with client(system.gateway_url, mine.token) as api:
        request_id = await rejected_request(system, api, b'{"events": [{}]}')
    stranger = await operator.caller()
    refused = await retry(system, request_id, key=stranger.token)
    assert refused.code == 1
    assert mine.org_id in refused.stderr
    nobody = await retry(system, request_id, key="wp_live_" + "0" * 32)
    assert nobody.code == 1
    assert "401 invalid_key" in nobody.stderr
    away = await retry(system, request_id, "--gateway", "http://127.0.0.1:1", key=mine.token)
    assert away.code == 1
    assert "does not answer" in away.stderr
