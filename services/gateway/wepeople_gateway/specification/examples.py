"""The guide's own requests, and what the gateway's own functions answer to them: no example is written by hand."""

import hashlib
import json
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

from wepeople_contracts.auth import Principal
from wepeople_contracts.quota import Granted, Window
from wepeople_gateway.errors import ApiError, error_body
from wepeople_gateway.ingest.command import EVENTS, SNAPSHOTS, Command, Endpoint, judge, seal
from wepeople_gateway.ingest.decide import Judged
from wepeople_gateway.ingest.respond import render
from wepeople_gateway.settings import GatewaySettings

REQUEST_ID = "req_01HP3K5V4J3M9NVT8XZKQ9YQ2E"
KEY = "wp_live_9f3c3e4c1e9b4b2d9c1e3f4b2c3d4e5f"

_RECEIVED_AT = datetime(2026, 4, 19, 12, 5, 1, tzinfo=UTC)
_DOCS_URL = GatewaySettings.model_fields["docs_url"].default

Example = dict[str, Any]


def request_examples(name: str) -> dict[str, Example]:
    """The guide's request of this name (`events`, `snapshot`), as an `examples` object."""
    return {"guide": {"summary": "The guide's", "value": json.loads(_body(name))}}


def answered(name: str) -> tuple[int, Example]:
    """Status and body of the answer to the guide's request."""
    return _answer(_body(name), EVENTS if name == "events" else SNAPSHOTS)


def answered_in_part() -> tuple[int, Example]:
    """The answer when a second row names nobody."""
    body = json.loads(_body("events"))
    (row,) = body["events"]
    return _answer(json.dumps({"events": [row, row | {"actor": {}}]}).encode(), EVENTS)


def answered_forbidden() -> tuple[int, Example]:
    """The answer to the guide's events from an app that may not send them."""
    return _answer(_body("events"), EVENTS, allowed=frozenset())


def refused_for_the_month() -> Example:
    """The body of the 402 when the month has no room for any row."""
    try:
        _answer(_body("events"), EVENTS, units=0)
    except ApiError as error:
        found: Example = json.loads(error_body(error, REQUEST_ID, _DOCS_URL))
        return found
    raise AssertionError("a spent month must refuse")


def _body(name: str) -> bytes:
    return files(__package__).joinpath("examples", f"{name}.json").read_bytes()


def _answer(
    body: bytes, endpoint: Endpoint, *, units: int = 500, allowed: frozenset[str] = frozenset({"deploy.shipped"})
) -> tuple[int, Example]:
    principal = Principal(
        org_id="org_01HP3K5V4J3M9NVT8XZKQ9YQ2E",
        app_id="app_01HP3K5V4J3M9NVT8XZKQ9YQ2E",
        app_slug="ci",
        connection="custom:ci",
        key_id="9f3c3e4c1e9b",
        allowed_event_types=allowed,
        key_requests_per_second=60,
        org_requests_per_second=600,
        max_events_per_month=100_000,
    )
    received_at_us = int(_RECEIVED_AT.timestamp() * 1_000_000)
    fingerprint = hashlib.sha256(body).digest()
    command = Command(endpoint, principal, REQUEST_ID, REQUEST_ID, received_at_us, body, fingerprint, None)
    judged = judge(command)
    assert isinstance(judged, Judged)
    granted = Granted(
        units=units,
        period="2026-04",
        epoch=1,
        month_resets_at=datetime(2026, 5, 1, tzinfo=UTC),
        key_window=Window(remaining=59, reset_seconds=1),
    )
    answer = render(seal(command, judged, granted), _DOCS_URL)
    return answer.status, json.loads(answer.body)
