"""The OpenAPI 3.1 document, put together from the operations and the types they name."""

from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from typing import Any

from wepeople_contracts.errors import RETRYABLE, STATUS, Code
from wepeople_gateway.developers.guide import guide
from wepeople_gateway.specification.answers import Refusal, RequestId, RowsRefusal
from wepeople_gateway.specification.examples import Example
from wepeople_gateway.specification.operations import OPERATIONS, PAGES, Operation, Page
from wepeople_gateway.specification.parameters import (
    CALLER_KNOWN,
    EVERY_ANSWER,
    HEADERS,
    PATH_PARAMETERS,
    REQUEST_PARAMETERS,
    SECURITY_SCHEME,
    STORED,
    header_refs,
)
from wepeople_gateway.specification.schemas import Schema, schemas_of

_OF_ROWS: frozenset[Code] = frozenset({"invalid_body", "forbidden_event_type"})
"""Codes that all rows of a well-formed request may share."""

_HEADERS_OF: dict[Code, tuple[str, ...]] = {
    "invalid_key": ("WWW-Authenticate",),
    "rate_limited": ("Retry-After",),
    "unavailable": ("Retry-After",),
}
_INFO = {
    "title": "WePeople Ingest API",
    "summary": "Events and snapshots of the people in your organization.",
    "description": "What is answered with 2xx is on disk. The guide is at `/developers/guide`.",
}
_LINKS = {
    "request": {
        "operationId": "getRequest",
        "parameters": {"requestId": "$response.body#/requestId"},
        "description": "Where the request is, and what became of its rows.",
    }
}
_TAGS = [
    {"name": "Sending", "description": "Events and snapshots."},
    {"name": "Reading", "description": "Keys, limits, and what became of a request. Each costs one unit of rate."},
    {"name": "Documents", "description": "Without a key."},
]


@cache
def openapi_document() -> dict[str, Any]:
    """The whole document, in the order in which people read it. Shared: do not change it."""
    types = _types()
    schemas, components = schemas_of(types)
    named = dict(zip(types, schemas, strict=True))
    refusals = [named[Refusal], named[RowsRefusal]]
    return {
        "openapi": "3.1.0",
        "info": _INFO | {"version": version("wepeople-gateway")},
        "servers": [{"url": "/", "description": "The gateway that serves this document."}],
        "security": [{"key": []}],
        "tags": _TAGS,
        "paths": {
            **{operation.path: {operation.method: _operation(operation, named)} for operation in OPERATIONS},
            **{page.path: {"get": _page(page)} for page in PAGES},
        },
        "components": {
            "securitySchemes": {"key": SECURITY_SCHEME},
            "parameters": REQUEST_PARAMETERS | PATH_PARAMETERS,
            "headers": HEADERS,
            "responses": {code: _refusal(code, refusals) for code in STATUS if code != "method_not_allowed"},
            "schemas": {"RequestId": named[RequestId], **components},
        },
    }


def _types() -> list[Any]:
    bodies = [operation.body for operation in OPERATIONS if operation.body is not None]
    return list(dict.fromkeys([*bodies, *(o.answer for o in OPERATIONS), Refusal, RowsRefusal, RequestId]))


def _operation(operation: Operation, named: dict[Any, Schema]) -> dict[str, Any]:
    writes = operation.body is not None
    headers = header_refs(*EVERY_ANSWER, *CALLER_KNOWN, *(STORED if writes else ()))
    found: dict[str, Any] = {
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": operation.description,
    }
    parameters = [f"#/components/parameters/{name}" for name in REQUEST_PARAMETERS if writes]
    if operation.path_parameter is not None:
        parameters.append(f"#/components/parameters/{operation.path_parameter}")
    if parameters:
        found["parameters"] = [{"$ref": reference} for reference in parameters]
    if writes:
        content = {"schema": named[operation.body], "examples": dict(operation.body_examples)}
        found["requestBody"] = {"required": True, "content": {"application/json": content}}
    responses: dict[int, Any] = {
        status: {
            "description": description,
            "headers": headers,
            "content": {"application/json": _content(named[operation.answer], operation.examples.get(status))},
        }
        | ({"links": _LINKS} if writes else {})
        for status, description in operation.answers.items()
    }
    for code in operation.codes:
        responses[STATUS[code]] = {"$ref": f"#/components/responses/{code}"}
    found["responses"] = {str(int(status)): responses[status] for status in sorted(responses)}
    return found


def _content(schema: Schema, example: Example | None) -> dict[str, Any]:
    return {"schema": schema} | ({} if example is None else {"example": example})


def _refusal(code: Code, refusals: Sequence[Schema]) -> dict[str, Any]:
    """The response of one code; its prose is the guide's."""
    headers = [*EVERY_ANSWER, *_HEADERS_OF.get(code, ())]
    if code != "invalid_key":
        headers += CALLER_KNOWN
    retry = "Can be sent again as it is." if code in RETRYABLE else "Fails again unless something changes."
    whole, _ = refusals
    schema = {"anyOf": list(refusals)} if code in _OF_ROWS else whole
    examples = [operation.examples[STATUS[code]] for operation in OPERATIONS if STATUS[code] in operation.examples]
    return {
        "description": f"`{code}`. {guide().lead(f'errors-{code}')} {retry}",
        "headers": header_refs(*headers),
        "content": {"application/json": _content(schema, next(iter(examples), None))},
    }


def _page(page: Page) -> dict[str, Any]:
    headers = header_refs(*EVERY_ANSWER, "ETag", "Cache-Control")
    return {
        "operationId": page.id,
        "tags": ["Documents"],
        "summary": page.summary,
        "security": [],
        "responses": {
            "200": {"description": page.summary, "headers": headers, "content": {page.content_type: {}}},
            "304": {"description": "Not changed since the version in If-None-Match.", "headers": headers},
            "400": {"$ref": "#/components/responses/invalid_body"},
            "500": {"$ref": "#/components/responses/internal"},
        },
    }
