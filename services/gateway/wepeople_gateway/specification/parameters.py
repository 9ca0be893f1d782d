"""The headers and parameters of the API: what a client may send beside the body, and what comes back beside it."""

from typing import Any

from wepeople_contracts.ids import KEY_PATTERN
from wepeople_gateway.ingest.handler import MAX_KEY_CHARACTERS
from wepeople_gateway.specification.examples import KEY, REQUEST_ID

Definition = dict[str, Any]

SECURITY_SCHEME: Definition = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": KEY_PATTERN.pattern.replace("(", "").replace(")", ""),
    "description": f"A key of an app, such as `{KEY}`. An operator issues it; it is shown once.",
}

REQUEST_PARAMETERS: dict[str, Definition] = {
    "IdempotencyKey": {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "One per piece of work, the same for all its retries: for ten minutes the same key with the "
        "same body gets the first answer again, byte for byte. Printable characters, the app's own.",
        "schema": {"type": "string", "minLength": 1, "maxLength": MAX_KEY_CHARACTERS, "pattern": "^[!-~]+$"},
        "example": "deploy-4711",
    },
    "ContentEncoding": {
        "name": "Content-Encoding",
        "in": "header",
        "description": "How the body is packed; its limit counts what it unpacks to.",
        "schema": {"type": "string", "enum": ["identity", "gzip"], "default": "identity"},
    },
    "Wait": {
        "name": "wait",
        "in": "query",
        "description": "Answer once the rows can be read, within five seconds; the header `Projected` says whether "
        "they can. Either way they are on disk.",
        "schema": {"type": "string", "enum": ["projected"]},
    },
}

PATH_PARAMETERS: dict[str, Definition] = {
    "requestId": {
        "name": "requestId",
        "in": "path",
        "required": True,
        "description": "From the answer's body or its `X-Request-Id`.",
        "schema": {"$ref": "#/components/schemas/RequestId"},
        "example": REQUEST_ID,
    },
}

HEADERS: dict[str, Definition] = {
    "X-Request-Id": {
        "description": "The request's id, with every answer.",
        "required": True,
        "schema": {"$ref": "#/components/schemas/RequestId"},
    },
    "RateLimit-Policy": {
        "description": "The rates that hold: requests (`q`) in any window of `w` seconds, for the key and for the "
        "organization (draft-ietf-httpapi-ratelimit-headers). With every answer to a caller who is known.",
        "schema": {"type": "string"},
        "example": '"key";q=60;w=1, "org";q=600;w=1',
    },
    "RateLimit": {
        "description": "What the key has left (`r`), and in how many seconds it is full again (`t`).",
        "schema": {"type": "string"},
        "example": '"key";r=59;t=1',
    },
    "Retry-After": {
        "description": "Whole seconds; whoever waits them gets through.",
        "schema": {"type": "integer", "minimum": 1},
    },
    "Idempotent-Replayed": {
        "description": "`true` when this is the first answer to this Idempotency-Key, again.",
        "schema": {"type": "string", "enum": ["true"]},
    },
    "Projected": {
        "description": "With `?wait=projected`: whether the rows can be read now.",
        "schema": {"type": "string", "enum": ["true", "false"]},
    },
    "WWW-Authenticate": {
        "description": "Which authentication is asked for.",
        "schema": {"type": "string"},
        "example": 'Bearer realm="wepeople"',
    },
    "ETag": {"description": "Names this version, for If-None-Match.", "schema": {"type": "string"}},
    "Cache-Control": {"description": "How long it may be kept.", "schema": {"type": "string"}},
}

EVERY_ANSWER = ("X-Request-Id",)
CALLER_KNOWN = ("RateLimit-Policy", "RateLimit")
STORED = ("Idempotent-Replayed", "Projected")


def header_refs(*names: str) -> dict[str, Definition]:
    """References to these headers."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}
