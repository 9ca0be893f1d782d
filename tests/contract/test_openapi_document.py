"""The OpenAPI document: valid, current, and saying of rows and errors exactly what the contract says."""

import json
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from openapi_spec_validator import OpenAPIV31SpecValidator

from wepeople_contracts.errors import RETRYABLE, STATUS, Code
from wepeople_contracts.ids import client_event_id, event_id, new_request_id
from wepeople_contracts.rows import MAX_METADATA_BYTES, MAX_METRICS, MAX_ROWS, Actor, EventRow, SnapshotRow
from wepeople_gateway.specification.answers import EventId, RequestId
from wepeople_gateway.specification.openapi import openapi_document
from wepeople_gateway.specification.yaml_text import yaml_text

ROOT = Path(__file__).parents[2]
DOCUMENT = openapi_document()
SCHEMAS = DOCUMENT["components"]["schemas"]
RESPONSES = DOCUMENT["components"]["responses"]


def everything_in(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    yield path, value
    for name, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from everything_in(item, f"{path}/{name}")


def test_it_is_valid_openapi_3_1() -> None:
    OpenAPIV31SpecValidator(DOCUMENT).validate()


def test_the_file_in_docs_is_current() -> None:
    found = (ROOT / "docs/openapi.yaml").read_text("utf-8")
    assert found == yaml_text(DOCUMENT), "make specification"


def test_yaml_and_json_say_the_same() -> None:
    assert yaml.safe_load(yaml_text(DOCUMENT)) == json.loads(json.dumps(DOCUMENT))


@pytest.mark.parametrize("row", [Actor, EventRow, SnapshotRow])
def test_a_row_has_the_fields_of_its_struct_and_requires_the_same(row: type[msgspec.Struct]) -> None:
    schema = SCHEMAS[row.__name__]
    fields = msgspec.structs.fields(row)
    assert list(schema["properties"]) == [field.encode_name for field in fields]
    assert schema.get("required", []) == [field.encode_name for field in fields if field.required]


def test_no_field_is_left_without_a_schema() -> None:
    bare = [path for path, value in everything_in(SCHEMAS) if value == {} and not path.endswith("additionalProperties")]
    assert bare == []


def test_patterns_are_those_of_ecma_262() -> None:
    patterns = [
        value["pattern"] for _, value in everything_in(SCHEMAS) if isinstance(value, dict) and "pattern" in value
    ]
    assert patterns
    assert all(pattern.startswith("^") and pattern.endswith("$") and "\\Z" not in pattern for pattern in patterns)


def test_limits_are_the_contracts() -> None:
    events = SCHEMAS["EventsBody"]["properties"]["events"]
    assert (events["minItems"], events["maxItems"]) == (1, MAX_ROWS)
    metrics = SCHEMAS["SnapshotRow"]["properties"]["metrics"]
    assert (metrics["minProperties"], metrics["maxProperties"]) == (1, MAX_METRICS)
    assert SCHEMAS["EventRow"]["properties"]["metadata"]["x-maxBytes"] == MAX_METADATA_BYTES


def test_an_actor_needs_one_of_its_identifiers() -> None:
    assert SCHEMAS["Actor"]["anyOf"] == [{"required": [name]} for name in ("workerId", "externalId", "email")]


@pytest.mark.parametrize("code", [code for code in STATUS if code != "method_not_allowed"])
def test_every_code_that_an_operation_can_answer_has_its_response_under_its_status(code: Code) -> None:
    reference = {"$ref": f"#/components/responses/{code}"}
    found = {
        status
        for operations in DOCUMENT["paths"].values()
        for operation in operations.values()
        for status, response in operation["responses"].items()
        if response == reference
    }
    assert found == {str(STATUS[code])}
    assert ("again as it is" in RESPONSES[code]["description"]) == (code in RETRYABLE)
    assert "X-Request-Id" in RESPONSES[code]["headers"]


def test_every_operation_under_the_api_asks_for_a_key_and_documents_the_refusals_of_all() -> None:
    assert DOCUMENT["security"] == [{"key": []}]
    for path, operations in DOCUMENT["paths"].items():
        for operation in operations.values():
            if path.startswith("/api/"):
                assert "security" not in operation
                assert {"400", "401", "429", "500", "503"} <= operation["responses"].keys(), path
            else:
                assert operation["security"] == []


def test_ids_are_of_the_form_that_the_document_says() -> None:
    request_id = new_request_id()
    assert msgspec.convert(request_id, RequestId) == request_id
    for found in (event_id(request_id, 499), client_event_id("app_1", "deploy-4711")):
        assert msgspec.convert(found, EventId) == found


@pytest.mark.parametrize("name", ["events", "snapshot"])
def test_the_examples_are_the_guides(name: str) -> None:
    example = files("wepeople_gateway.specification").joinpath("examples", f"{name}.json").read_bytes()
    assert example == (ROOT / "tests/e2e/guide_examples" / f"{name}.json").read_bytes()
    assert json.dumps(json.loads(example), separators=(",", ":")) in json.dumps(DOCUMENT, separators=(",", ":"))


def test_every_operation_is_named_described_and_under_a_declared_tag() -> None:
    operations = [operation for methods in DOCUMENT["paths"].values() for operation in methods.values()]
    ids = [operation["operationId"] for operation in operations]
    assert len(ids) == len(set(ids))
    tags = {tag["name"] for tag in DOCUMENT["tags"]}
    assert {tag for operation in operations for tag in operation["tags"]} == tags
    assert all(operation["summary"] for operation in operations)
    assert all(
        response.get("description", "$ref" in response) for o in operations for response in o["responses"].values()
    )


def test_no_component_is_there_for_nothing() -> None:
    used = {value["$ref"] for _, value in everything_in(DOCUMENT) if isinstance(value, dict) and "$ref" in value}
    kinds = {kind: parts for kind, parts in DOCUMENT["components"].items() if kind != "securitySchemes"}
    assert {f"#/components/{kind}/{name}" for kind, parts in kinds.items() for name in parts} - used == set()
