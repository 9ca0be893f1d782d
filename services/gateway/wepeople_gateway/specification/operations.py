"""The endpoints: which types go in and out, which codes may come, and the prose about each."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from wepeople_contracts.errors import Code
from wepeople_contracts.rows import SnapshotRow
from wepeople_gateway.specification.answers import Ingested, Limits, Ping, RequestFound, Usage
from wepeople_gateway.specification.bodies import EventsBody
from wepeople_gateway.specification.examples import (
    Example,
    answered,
    answered_forbidden,
    answered_in_part,
    refused_for_the_month,
    request_examples,
)

PREFIX = "/api/v1/ingest"

_ALWAYS: tuple[Code, ...] = ("invalid_body", "invalid_key", "rate_limited", "internal", "unavailable")
_WRITE: tuple[Code, ...] = (*_ALWAYS, "payload_too_large", "unsupported_media_type", "idempotency_mismatch")


@dataclass(frozen=True, slots=True)
class Operation:
    """One endpoint. `answers` maps a 2xx status to what it means; all have the type `answer`. `examples` maps a status
    to a body. `path_parameter` and `write` say which parameters there are.
    """

    method: str
    path: str
    id: str
    tag: str
    summary: str
    description: str
    answer: type[Any]
    answers: Mapping[int, str]
    codes: tuple[Code, ...] = _ALWAYS
    body: type[Any] | None = None
    body_examples: Mapping[str, Example] = field(default_factory=dict)
    examples: Mapping[int, Example] = field(default_factory=dict)
    path_parameter: str | None = None


OPERATIONS = (
    Operation(
        "get",
        f"{PREFIX}/ping",
        "ping",
        "Reading",
        "Check a key",
        "Whose key this is. Call it on deploy and fail fast.",
        Ping,
        {HTTPStatus.OK: "The key is good."},
    ),
    Operation(
        "post",
        f"{PREFIX}/events",
        "sendEvents",
        "Sending",
        "Send events",
        "Each row is judged alone: a bad one harms no other. What is answered with 2xx is on disk.",
        Ingested,
        {HTTPStatus.ACCEPTED: "Every row is stored.", HTTPStatus.MULTI_STATUS: "Some rows are stored; see `results`."},
        (*_WRITE, "plan_limit", "forbidden_event_type"),
        EventsBody,
        request_examples("events"),
        dict([answered("events"), answered_in_part(), answered_forbidden(), (402, refused_for_the_month())]),
    ),
    Operation(
        "post",
        f"{PREFIX}/snapshots",
        "sendSnapshot",
        "Sending",
        "Send a snapshot",
        "How things stand for one worker. The latest by `timestamp`, though never later than its receipt, counts.",
        Ingested,
        {HTTPStatus.ACCEPTED: "The snapshot is stored."},
        _WRITE,
        SnapshotRow,
        request_examples("snapshot"),
        dict([answered("snapshot")]),
    ),
    Operation(
        "get",
        f"{PREFIX}/usage",
        "getUsage",
        "Reading",
        "Read the month's usage",
        "What the organization has used of its month, in all and by app; requests in flight are not in it yet.",
        Usage,
        {HTTPStatus.OK: "The month as it stands."},
    ),
    Operation(
        "get",
        f"{PREFIX}/limits",
        "getLimits",
        "Reading",
        "Read the limits",
        "Every limit that holds for this key, and the event types that its app may send.",
        Limits,
        {HTTPStatus.OK: "The limits as they are."},
    ),
    Operation(
        "get",
        f"{PREFIX}/requests/{{requestId}}",
        "getRequest",
        "Reading",
        "Look up a request",
        "Where one of this app's stored requests is, and what became of its rows. The 404 comes only once everything "
        "that was stored before the asking has been looked through.",
        RequestFound,
        {HTTPStatus.OK: "The request, stored and readable."},
        (*_ALWAYS, "not_found"),
        path_parameter="requestId",
    ),
)


@dataclass(frozen=True, slots=True)
class Page:
    """A document of the gateway's, to be read without a key."""

    path: str
    id: str
    content_type: str
    summary: str


PAGES = (
    Page("/openapi.yaml", "getOpenapiYaml", "application/yaml", "This document as YAML"),
    Page("/openapi.json", "getOpenapiJson", "application/json", "This document as JSON"),
    Page("/developers/guide", "getGuide", "text/html", "The guide"),
    Page("/developers/reference", "getReference", "text/html", "The API reference"),
)
