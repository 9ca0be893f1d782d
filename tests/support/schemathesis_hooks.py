"""What Schemathesis must know of the API beyond its document; loaded by the run in
tests/integration/test_specification_schemathesis.py.
"""

import gzip
import json
import re
from typing import Any

import schemathesis
from schemathesis import Case, CheckContext, Response

ALLOWED_EVENT_TYPE = "deploy.shipped"

BEYOND_A_SCHEMA = re.compile(
    "|".join(
        (
            "is not in this app's whitelist",  # depends on the app
            "which identifies nobody|is not an email address|which names no event",  # junk, and what is no address
            "more than an hour ahead|is before the year 1",  # depend on the clock, and on the calendar
            "timestamp must be RFC 3339",  # leap seconds, and years that Python's calendar lacks
            r"bytes as received; at most \d+ are taken|nested deeper than|or with an exponent beyond",  # measures
            "half a surrogate pair|the character NUL",
            "must be a finite number|must be a number, a string of at most",  # beyond the range of a double
        )
    )
)
"""What a row that fits its schema may still be refused for; each is said in the document in prose."""


@schemathesis.hook
def map_body(context: Any, body: Any) -> Any:
    """An event type of the right form becomes the one on the whitelist, so that rows get past it."""
    rows = body.get("events") if isinstance(body, dict) else None
    for row in rows if isinstance(rows, list) else ():
        if isinstance(row, dict) and isinstance(kind := row.get("eventType"), str):
            row["eventType"] = re.sub(r"^[a-z0-9._-]{1,128}\Z", ALLOWED_EVENT_TYPE, kind)
    return body


@schemathesis.serializer("application/json")
def as_it_says(context: Any, value: Any) -> bytes:
    """JSON, packed when the request's header says so."""
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    headers = context.case.headers or {}
    return gzip.compress(body, 1) if headers.get("Content-Encoding") == "gzip" else body


@schemathesis.check
def what_fits_the_schema_is_refused_only_for_more_than_a_schema_can_say(
    context: CheckContext, response: Response, case: Case[Any]
) -> None:
    """Instead of `positive_data_acceptance`, and stricter: it looks at every row's error."""
    if case.meta is None or not case.meta.generation.mode.is_positive or response.status_code not in (207, 400, 403):
        return
    answer = response.json()
    errors = [result["error"] for result in answer.get("results", ()) if result["status"] == "rejected"]
    unexplained = [error for error in errors or [answer["error"]] if not BEYOND_A_SCHEMA.search(error["message"])]
    assert not unexplained, f"fits the schema, and yet: {unexplained}"
