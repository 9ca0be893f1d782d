"""Every example of the document fits the schema beside it, and every schema reads what the gateway renders."""

from typing import Any

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from wepeople_gateway.specification.openapi import openapi_document

DOCUMENT = openapi_document()
REGISTRY = Registry().with_resource("urn:openapi", DRAFT202012.create_resource(DOCUMENT))


def errors_of(schema: dict[str, Any], value: Any) -> list[str]:
    anchored = _absolute(schema)
    validator = Draft202012Validator(anchored, registry=REGISTRY, format_checker=Draft202012Validator.FORMAT_CHECKER)
    return [error.message for error in validator.iter_errors(value)]


def _absolute(value: Any) -> Any:
    if isinstance(value, list):
        return [_absolute(item) for item in value]
    if isinstance(value, dict):
        return {k: f"urn:openapi{v}" if k == "$ref" and v[0] == "#" else _absolute(v) for k, v in value.items()}
    return value


def _bodies() -> list[tuple[str, dict[str, Any], Any]]:
    found = []
    for path, operations in DOCUMENT["paths"].items():
        for operation in operations.values():
            for media in operation.get("requestBody", {}).get("content", {}).values():
                found += [(f"{path} body {n}", media["schema"], e["value"]) for n, e in media["examples"].items()]
            for status, response in operation["responses"].items():
                for media in response.get("content", {}).values():
                    if "example" in media:
                        found.append((f"{path} {status}", media["schema"], media["example"]))
    for code, response in DOCUMENT["components"]["responses"].items():
        media = response["content"]["application/json"]
        if "example" in media:
            found.append((code, media["schema"], media["example"]))
    return found


@pytest.mark.parametrize(
    ("schema", "example"), [(s, e) for _, s, e in _bodies()], ids=[name for name, _, _ in _bodies()]
)
def test_an_example_fits_its_schema(schema: dict[str, Any], example: Any) -> None:
    assert errors_of(schema, example) == []


def test_an_example_that_lacks_a_field_would_be_found() -> None:
    (name, schema, example), *_ = _bodies()
    assert errors_of(schema, example | {"events": [{"category": "code"}]}) != [], name


def test_partial_and_refused_answers_are_among_the_examples() -> None:
    names = {name for name, _, _ in _bodies()}
    assert {"/api/v1/ingest/events 202", "/api/v1/ingest/events 207", "forbidden_event_type", "plan_limit"} <= names
