"""The AsyncAPI document against the running services: each subject is answered, as the document says."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from jsonschema import Draft7Validator
from nats.aio.client import Client
from referencing import Registry
from referencing.jsonschema import DRAFT7

from tests.support.system import RunningSystem
from wepeople_chassis.broker import NatsAddress, connect
from wepeople_contracts.operators import COMMANDS
from wepeople_contracts.subjects import auth_command
from wepeople_gateway.specification.asyncapi import asyncapi_document
from wepeople_gateway.specification.conversations import EXCHANGES, Exchange

DOCUMENT = asyncapi_document()
REGISTRY = Registry().with_resource("urn:asyncapi", DRAFT7.create_resource(DOCUMENT))
ASKED = [exchange for exchange in EXCHANGES if exchange.ok is not None]


@pytest.fixture(scope="module")
async def asker(system: RunningSystem) -> AsyncIterator[Client]:
    connection = await connect(NatsAddress(system.nats_url), "tests-conversations")
    yield connection
    await connection.close()


def fits_reply_of(operation: str, reply: Any) -> None:
    channel = DOCUMENT["channels"][DOCUMENT["operations"][operation]["reply"]["channel"]["$ref"].rpartition("/")[2]]
    (message,) = channel["messages"]
    payload = DOCUMENT["components"]["messages"][message]["payload"]
    schema = {"$ref": f"urn:asyncapi{payload['$ref']}"} if "$ref" in payload else payload
    assert [error.message for error in Draft7Validator(schema, registry=REGISTRY).iter_errors(reply)] == []


@pytest.mark.parametrize("exchange", ASKED, ids=[exchange.id for exchange in ASKED])
async def test_a_request_of_the_wrong_form_is_answered_by_a_reply_of_the_right_one(
    asker: Client, exchange: Exchange
) -> None:
    answer = await asker.request(exchange.subject.replace("{partition}", "0"), b'{"units": "many"}', timeout=10)
    reply = json.loads(answer.data)
    fits_reply_of(exchange.id, reply)
    if exchange.request.model_fields:
        assert reply["error"]["code"] == "invalid", reply


async def test_a_question_is_answered_with_what_the_document_says_it_is(asker: Client, system: RunningSystem) -> None:
    for name, question in (("list_orgs", {}), ("list_apps", {"org_id": system.demo.organization_id})):
        assert name in COMMANDS
        answer = await asker.request(auth_command(name), json.dumps(question).encode(), timeout=10)
        reply = json.loads(answer.data)
        assert reply["ok"] is not None
        fits_reply_of(name, reply)


@pytest.mark.parametrize("service", ["gateway", "auth", "quota", "projector"])
async def test_each_service_says_that_it_is_ready_as_documented(asker: Client, service: str) -> None:
    subject = DOCUMENT["channels"]["askReady"]["address"].replace("{service}", service)
    fits_reply_of("askReady", json.loads((await asker.request(subject, b"", timeout=5)).data))
