"""With the key of one org, or in its name, no endpoint and no question between services tells of another.

What there is to try is taken from the OpenAPI document and from the list of subjects: a new one fails here until it is
tried too.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import BaseModel

from tests.support.client import Answer, client
from tests.support.nats_uses import USES
from tests.support.operators import EVENT_TYPE, Caller, Operators
from tests.support.read_models import eventually, query, rows_of_request
from tests.support.system import RunningSystem
from wepeople_chassis.rpc import Refused, call
from wepeople_contracts.auth import Authenticate, Principal
from wepeople_contracts.projection import RequestQuery, RequestStatus
from wepeople_contracts.quota import Release, Reserve, Usage, UsageQuery, Verdict
from wepeople_contracts.subjects import AUTHENTICATE, REQUEST_STATUS, release_subject, reserve_subject, usage_subject
from wepeople_gateway.specification.openapi import openapi_document

pytestmark = pytest.mark.usefixtures("unharmed")

ROWS = [
    {"id": "deploy-17", "eventType": EVENT_TYPE, "category": "code", "actor": {"email": "ada@theirs.example"}},
    {"eventType": "unknown.type", "category": "code", "actor": {"email": "eve@theirs.example"}},
]
EVENTS = json.dumps({"events": ROWS}).encode()
SNAPSHOT = json.dumps(
    {"snapshotType": "queue", "actor": {"email": "ada@theirs.example"}, "metrics": {"active": 2}}
).encode()
ASKING = ("ping", "usage", "limits", "requests/{requestId}")
SENDING = {"events": EVENTS, "snapshots": SNAPSHOT}
OPERATORS_OWN = {"auth_command", "ready_subject"}
"""By these operators act for all orgs; NATS lets nobody else ask."""


@dataclass(frozen=True, slots=True)
class Theirs:
    """What another org has sent, and the words by which it would be known in an answer."""

    caller: Caller
    request_id: str
    answers: Mapping[str, Answer]
    words: tuple[str, ...]

    def found_in(self, text: str | bytes) -> list[str]:
        """Which of its words stand in a text."""
        data = text.decode() if isinstance(text, bytes) else text
        return [word for word in self.words if word in data]


@pytest.fixture
async def theirs(system: RunningSystem, operator: Operators) -> Theirs:
    """Sent under an idempotency key that anybody may choose."""
    caller = await operator.caller()
    async with client(system.gateway_url, caller.token) as api:
        answers = {path: await api.post(f"/{path}", body, "the-same") for path, body in SENDING.items()}
    sent = answers["events"].json()
    assert (answers["events"].status, answers["snapshots"].status) == (207, 202), answers
    [row] = await rows_of_request(system.operator_dsn, sent["requestId"], 1)
    words = (caller.org_id, caller.app_id, caller.key_id, sent["requestId"], row["event_id"], row["worker_id"])
    return Theirs(caller, sent["requestId"], answers, words)


def test_every_endpoint_of_the_api_is_tried() -> None:
    prefix = "/api/v1/ingest/"
    assert {path.removeprefix(prefix) for path in openapi_document()["paths"] if path.startswith(prefix)} == {
        *ASKING,
        *SENDING,
    }


@pytest.mark.parametrize("path", ASKING)
async def test_an_endpoint_that_is_asked_tells_nothing(
    system: RunningSystem, operator: Operators, theirs: Theirs, path: str
) -> None:
    ours = await operator.caller()
    async with client(system.gateway_url, ours.token) as api:
        answer = await api.send("GET", "/" + path.replace("{requestId}", theirs.request_id))
        asked = await api.send("GET", f"/{path.partition('/')[0]}?organizationId={theirs.caller.org_id}")
    if path.startswith("requests"):
        assert answer.status == 404
        echoed = answer.body.replace(theirs.request_id.encode(), b"")
        assert theirs.found_in(echoed) == []
    else:
        assert answer.status == 200
        assert theirs.found_in(answer.body + asked.body) == []
    if path == "usage":
        assert (answer.json()["organizationId"], answer.json()["used"]) == (ours.org_id, 0)


@pytest.mark.parametrize("path", SENDING)
async def test_what_is_sent_as_they_sent_it_is_a_request_of_our_own(
    system: RunningSystem, operator: Operators, theirs: Theirs, path: str
) -> None:
    ours = await operator.caller()
    async with client(system.gateway_url, ours.token) as api:
        answer = await api.post(f"/{path}", SENDING[path], "the-same")
    assert answer.status == theirs.answers[path].status
    assert "Idempotent-Replayed" not in answer.headers
    assert theirs.found_in(answer.body) == []
    if path == "events":
        [row] = await rows_of_request(system.operator_dsn, answer.json()["requestId"], 1)
        assert row["org_id"] == ours.org_id
        assert theirs.found_in(repr(row)) == [], "the same name and email are another event, of another worker"
        statement = "SELECT count(*) AS rows FROM live.timeline WHERE org_id = %(org_id)s"
        assert await query(system.operator_dsn, statement, {"org_id": theirs.caller.org_id}) == [{"rows": 1}]


async def test_a_key_of_ours_does_not_open_theirs(system: RunningSystem, operator: Operators, theirs: Theirs) -> None:
    ours = await operator.caller()
    token = f"wp_live_{theirs.caller.key_id}{ours.token[-20:]}"
    async with client(system.gateway_url, token) as api:
        answer = await api.ping()
    assert answer.status == 401
    assert theirs.found_in(answer.body) == []


QUESTIONS = {
    *("AUTHENTICATE", "QUOTA_ALL", "REQUEST_STATUS"),
    *("quota_filter", "reserve_subject", "release_subject", "usage_subject"),
}


def test_every_question_between_services_is_tried() -> None:
    asked = {name for name, uses in USES.items() if uses[0].subject.startswith("rpc.")}
    assert asked == QUESTIONS | (OPERATORS_OWN)


async def test_a_question_in_our_name_tells_nothing(operator: Operators, theirs: Theirs) -> None:
    ours, connection = await operator.caller(), operator.connection

    async def answered(subject: str, question: BaseModel, ok: type[Any]) -> str:
        try:
            return repr(await call(connection, subject, question, ok))
        except Refused as refused:
            return refused.error.code

    for org_id, app_id in (
        (ours.org_id, ours.app_id),
        (ours.org_id, theirs.caller.app_id),
        (theirs.caller.org_id, ours.app_id),
    ):
        question = RequestQuery(org_id=org_id, app_id=app_id, request_id=theirs.request_id)
        assert await answered(REQUEST_STATUS, question, RequestStatus) == "not_found"
    assert theirs.found_in(await answered(usage_subject(ours.org_id), UsageQuery(org_id=ours.org_id), Usage)) == []
    assert theirs.found_in(await answered(AUTHENTICATE, Authenticate(token=ours.token), Principal)) == []


async def test_what_another_org_has_reserved_is_not_given_back_in_our_name(operator: Operators, theirs: Theirs) -> None:
    ours, connection, other = await operator.caller(), operator.connection, theirs.caller

    async def reserve(caller: Caller, message_id: str) -> None:
        question = Reserve(
            org_id=caller.org_id,
            key_id=caller.key_id,
            message_id=message_id,
            units=3,
            key_limit=60,
            org_limit=600,
            month_limit=1000,
        )
        answer = await call(connection, reserve_subject(caller.org_id), question, Verdict)
        assert answer.verdict.verdict == "granted"

    async def reserved(org_id: str) -> int:
        return (await call(connection, usage_subject(org_id), UsageQuery(org_id=org_id), Usage)).reserved

    await reserve(other, "theirs")
    await reserve(ours, "ours")
    for message_id in ("theirs", "ours"):
        release = Release(org_id=ours.org_id, message_id=message_id)
        await connection.publish(release_subject(release.org_id), release.model_dump_json().encode())
    await eventually(lambda: reserved(ours.org_id), lambda units: units == 0, what="ours is given back")
    assert await reserved(other.org_id) == 3
