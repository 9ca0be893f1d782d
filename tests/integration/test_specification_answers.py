"""What the running system really answers, read with the types that the document is made of: no field more or less."""

import gzip
import json
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from multidict import CIMultiDict

from tests.support.client import Answer, Client, client, refusal
from tests.support.operators import EVENT_TYPE, Operators, make_plan
from tests.support.system import RunningSystem
from wepeople_contracts.errors import STATUS
from wepeople_gateway.specification.answers import Ingested, Limits, Ping, Refusal, RequestFound, RowsRefusal, Usage
from wepeople_gateway.specification.openapi import openapi_document

PREFIX = "/api/v1/ingest"
DOCUMENT = openapi_document()
PATHS = DOCUMENT["paths"]
GOOD = {"eventType": EVENT_TYPE, "category": "code", "actor": {"externalId": "eng-17"}}


def reads_as(type_: type[Any], answer: Answer) -> None:
    """The body has every field of the type, each as it says, and no other."""
    body = answer.json()
    assert msgspec.to_builtins(msgspec.convert(body, type_)) == body


def has_its_headers(answer: Answer, method: str, path: str) -> None:
    """The headers that the document requires are there, and none of the API's own that it does not know."""
    response = PATHS[PREFIX + path][method]["responses"][str(answer.status)]
    if "$ref" in response:
        response = DOCUMENT["components"]["responses"][response["$ref"].rpartition("/")[2]]
    documented = CIMultiDict[Mapping[str, Any]](response["headers"])
    for name in documented:
        if DOCUMENT["components"]["headers"][name].get("required"):
            assert name in answer.headers, name
    of_http = {"content-type", "content-length", "date", "server", "connection"}
    assert [name for name in answer.headers if name.lower() not in of_http and name not in documented] == []


@pytest.mark.parametrize("path", ["/events", "/snapshots"])
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
async def test_the_examples_of_the_document_are_accepted_as_it_says(api: Client, path: str, packed: bool) -> None:
    operation = PATHS[PREFIX + path]["post"]
    for example in operation["requestBody"]["content"]["application/json"]["examples"].values():
        body = json.dumps(example["value"]).encode()
        headers = {"Content-Type": "application/json"} | ({"Content-Encoding": "gzip"} if packed else {})
        answer = await api.send("POST", path, gzip.compress(body) if packed else body, headers)
        assert answer.status == 202, answer
        documented = operation["responses"]["202"]["content"]["application/json"]["example"]
        assert answer.json() | {"requestId": "", "results": []} == documented | {"requestId": "", "results": []}
        reads_as(Ingested, answer)
        has_its_headers(answer, "post", path)


@pytest.mark.parametrize(("path", "type_"), [("/ping", Ping), ("/usage", Usage), ("/limits", Limits)])
async def test_what_can_be_read_has_the_documented_shape(api: Client, path: str, type_: type[Any]) -> None:
    await api.events([GOOD])
    answer = await api.send("GET", path)
    assert answer.status == 200
    reads_as(type_, answer)
    has_its_headers(answer, "get", path)


async def test_a_stored_request_has_the_documented_shape_duplicates_and_rejected_rows_included(api: Client) -> None:
    named = GOOD | {"id": "shape-1"}
    body = json.dumps({"events": [named, named, GOOD | {"actor": {}}]}).encode()
    sent = await api.send("POST", "/events?wait=projected", body, {"Content-Type": "application/json"})
    assert (sent.status, sent.headers["Projected"]) == (207, "true"), sent
    assert [result["status"] for result in sent.json()["results"]] == ["accepted", "duplicate", "rejected"]
    reads_as(Ingested, sent)
    has_its_headers(sent, "post", "/events")

    path = f"/requests/{sent.json()['requestId']}"
    answer = await api.send("GET", path)
    assert answer.status == 200, answer
    assert answer.json()["request"]["results"] == sent.json()["results"]
    reads_as(RequestFound, answer)
    has_its_headers(answer, "get", "/requests/{requestId}")


async def test_a_replay_has_the_documented_headers(api: Client) -> None:
    await api.events([GOOD], "specified-replay")
    answer = await api.events([GOOD], "specified-replay")
    assert answer.headers["Idempotent-Replayed"] == "true"
    has_its_headers(answer, "post", "/events")


async def test_a_parameter_that_is_not_understood_is_refused_even_where_the_rest_is_a_repetition(api: Client) -> None:
    await api.events([GOOD], "specified-wait")
    headers = {"Content-Type": "application/json", "Idempotency-Key": "specified-wait"}
    answer = await api.send("POST", "/events?wait=forever", json.dumps({"events": [GOOD]}).encode(), headers)
    refusal(answer, 400, "invalid_body")


async def test_a_request_without_an_accepted_row_has_the_documented_shape(api: Client) -> None:
    for row, code in ((GOOD | {"actor": {}}, "invalid_body"), (GOOD | {"eventType": "other"}, "forbidden_event_type")):
        answer = await api.events([row])
        assert answer.json()["error"]["code"] == code
        reads_as(RowsRefusal, answer)
        has_its_headers(answer, "post", "/events")


async def test_refusals_have_the_documented_shape_and_headers(
    system: RunningSystem, operator: Operators, api: Client
) -> None:
    await make_plan(system.admin_dsn, "specified-spent", max_events_per_month=1)
    spent = await operator.caller("specified-spent")
    body = json.dumps({"events": [GOOD]}).encode()
    typed = {"Content-Type": "application/json"}
    await api.events([GOOD], "specified-mismatch")
    async with client(system.gateway_url, "nobody") as stranger, client(system.gateway_url, spent.token) as poor:
        await poor.events([GOOD])
        answers = {
            "invalid_key": await stranger.post("/events", body),
            "plan_limit": await poor.post("/events", body),
            "invalid_body": await api.post("/events", b"{"),
            "unsupported_media_type": await api.send("POST", "/events", body, {"Content-Type": "text/plain"}),
            "payload_too_large": await api.send("POST", "/events", b" " * (9 * 1024 * 1024 + 1), typed),
            "idempotency_mismatch": await api.post("/events", body + b" ", "specified-mismatch"),
        }
        missing = await api.send("GET", "/requests/req_01HP3K5V4J3M9NVT8XZKQ9YQ2E")
    has_its_headers(missing, "get", "/requests/{requestId}")
    for code, answer in answers.items():
        has_its_headers(answer, "post", "/events")
        assert answer.json()["error"]["code"] == code
    for code, answer in (answers | {"not_found": missing}).items():
        assert answer.status == STATUS[code], answer  # type: ignore[index]
        reads_as(Refusal, answer)


async def test_a_refusal_for_the_rate_has_the_documented_shape_and_headers(
    system: RunningSystem, operator: Operators
) -> None:
    slow = await operator.caller(requests_per_second=1)
    async with client(system.gateway_url, slow.token) as hasty:
        answers = [await hasty.ping() for _ in range(3)]
    refused = next(answer for answer in answers if answer.status == 429)
    reads_as(Refusal, refused)
    has_its_headers(refused, "get", "/ping")
    assert int(refused.headers["Retry-After"]) >= 1
