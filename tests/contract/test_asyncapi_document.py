"""The AsyncAPI document: current, whole, and true of the bytes that really travel."""

import inspect
import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema import Draft7Validator
from pydantic import BaseModel
from referencing import Registry
from referencing.jsonschema import DRAFT7

from wepeople_contracts import auth, directory, operators, projection, quota, subjects
from wepeople_contracts.directory import AppCreated, DirectoryEntry, OrgFounded, WorkersImported, encode_fact
from wepeople_contracts.envelope import AcceptedRow, Charge, Envelope, RejectedRow, encode
from wepeople_contracts.reply import Message
from wepeople_gateway.specification.asyncapi import asyncapi_document
from wepeople_gateway.specification.conversations import EXCHANGES, FACTS, STORED
from wepeople_gateway.specification.yaml_text import yaml_text

ROOT = Path(__file__).parents[2]
DOCUMENT = asyncapi_document()
CHANNELS = DOCUMENT["channels"]
REGISTRY = Registry().with_resource("urn:asyncapi", DRAFT7.create_resource(DOCUMENT))


def errors_of(message: str, value: Any) -> list[str]:
    payload = {"$ref": f"urn:asyncapi{DOCUMENT['components']['messages'][message]['payload']['$ref']}"}
    return [error.message for error in Draft7Validator(payload, registry=REGISTRY).iter_errors(value)]


def as_json(value: Any) -> Any:
    """MessagePack's bytes as the string that a schema can speak of."""
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, dict):
        return {name: as_json(item) for name, item in value.items()}
    return [as_json(item) for item in value] if isinstance(value, list) else value


def test_the_file_in_docs_is_current() -> None:
    assert (ROOT / "docs/asyncapi.yaml").read_text("utf-8") == yaml_text(DOCUMENT), "make specification"


def test_every_reference_leads_somewhere() -> None:
    references = set(re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(DOCUMENT)))
    assert references
    for reference in references:
        found: Any = DOCUMENT
        for part in reference.split("/"):
            found = found[part]
        assert found


def test_every_schema_is_one() -> None:
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft7Validator.check_schema(schema)


def test_every_subject_of_the_contract_has_its_channel() -> None:
    addresses = {channel["address"] for channel in CHANNELS.values()}
    spelled = [value for name, value in vars(subjects).items() if name.isupper() and isinstance(value, str)]
    spelled = [subject for subject in spelled if subject.startswith(("rpc.", "fact."))]
    spelled += [subjects.auth_command(name) for name in operators.COMMANDS]
    spelled.remove(subjects.QUOTA_ALL)
    for subject_of in (subjects.reserve_subject, subjects.release_subject, subjects.usage_subject):
        spelled.append(subject_of("org_1").replace(f".{subjects.partition_of('org_1')}.", ".*."))
    spelled += [subjects.leaving_subject("{stream}"), subjects.sharing_subject("{stream}")]
    assert len(spelled) > 10
    for subject in spelled:
        assert subject.replace("*", "{partition}") in addresses


def test_subjects_of_the_stream_are_those_that_the_contract_makes() -> None:
    for stored in STORED:
        pattern = re.sub(r"\\{\w+\\}", "[^.]+", re.escape(stored.subject))
        kind: Any = stored.subject.rpartition(".")[2]
        assert re.fullmatch(pattern, subjects.ingest_subject("org_1", "app_1", kind))
    assert {stored.subject.rpartition(".")[2] for stored in STORED} == {"events", "snapshot", "directory"}


@pytest.mark.parametrize("module", [auth, operators, projection, quota])
def test_every_message_of_the_contract_is_described(module: Any) -> None:
    models = [m for _, m in inspect.getmembers(module, inspect.isclass) if issubclass(m, Message) and m is not Message]
    described = DOCUMENT["components"]["schemas"].keys()
    assert {model.__name__ for model in models} - described == set()


def test_every_fact_of_the_directory_is_described() -> None:
    (stored,) = (stored for stored in STORED if stored.service == "auth")
    assert set(stored.messages) == set(directory.DirectoryFact.__args__)


ENVELOPE = Envelope(
    kind="events",
    request_id="req_1",
    message_id="m",
    org_id="org_1",
    app_id="app_1",
    connection="custom:ci",
    key_id="k",
    received_at_us=1,
    fingerprint=b"\xff",
    charge=Charge("2026-04", 1, 1, ["evt_1"]),
    accepted=[AcceptedRow(0, "evt_1", b"{}", True, False)],
    rejected=[RejectedRow(1, "invalid_body", "m", None, False, b"{")],
)


def test_an_envelope_as_it_is_stored_fits() -> None:
    stored = as_json(msgspec.msgpack.decode(encode(ENVELOPE)))
    assert errors_of("Envelope", stored) == []
    assert errors_of("Envelope", stored | {"accepted": [[0, 1, "{}"]]}) != []
    assert errors_of("Envelope", {name: value for name, value in stored.items() if name != "charge"}) != []


@pytest.mark.parametrize(
    "fact",
    [
        OrgFounded(fact_id="f", org_id="o", name="Acme", salt=b"\x00", occurred_at_us=1),
        AppCreated(fact_id="f", org_id="o", app_id="a", slug="ci", connection="custom:ci", occurred_at_us=1),
        WorkersImported(fact_id="f", org_id="o", workers=[DirectoryEntry("a@b.c", "A")], occurred_at_us=1),
    ],
    ids=lambda fact: type(fact).__name__,
)
def test_a_fact_as_it_is_stored_fits_its_own_message_only(fact: Any) -> None:
    stored = as_json(msgspec.msgpack.decode(encode_fact(fact)))
    fitting = {m.__name__ for m in (OrgFounded, AppCreated, WorkersImported) if not errors_of(m.__name__, stored)}
    assert fitting == {type(fact).__name__}


def test_the_places_of_an_array_are_named() -> None:
    items = DOCUMENT["components"]["schemas"]["AcceptedRow"]["items"]
    assert [item["title"] for item in items] == ["index", "event_id", "raw", "named", "duplicate"]


def test_requests_replies_and_facts_are_pydantic_models_with_a_docstring() -> None:
    models = [model for e in EXCHANGES for model in (e.request, e.ok) if model] + [fact.message for fact in FACTS]
    assert all(issubclass(model, BaseModel) and model.__doc__ for model in models)
