"""From an envelope to its response: a pure function, so that a retry gets the same bytes (design §2.2).

A renderer is never edited once released; a change is a new one under the next number.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from wepeople_contracts.envelope import Envelope
from wepeople_contracts.errors import STATUS, RowError
from wepeople_gateway.errors import docs_link
from wepeople_gateway.ingest.decide import shared_error


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and body of a request that reached the log."""

    status: int
    body: bytes


def render(envelope: Envelope, docs_url: str) -> Answer:
    """The response of the request that this envelope holds, by the renderer that the envelope names."""
    return _RENDERERS[envelope.renderer](envelope, docs_url)


def results(envelope: Envelope) -> list[dict[str, Any]]:
    """What became of each row, in the order of the request."""
    found: list[dict[str, Any]] = [
        {"index": row.index, "status": "duplicate" if row.duplicate else "accepted", "eventId": row.event_id}
        for row in envelope.accepted
    ]
    if envelope.rejected:
        found += [
            {
                "index": row.index,
                "status": "rejected",
                "error": {"code": row.code, "message": row.message, "field": row.field, "retryable": row.retryable},
            }
            for row in envelope.rejected
        ]
        found.sort(key=lambda result: result["index"])
    return found


def _render_1(envelope: Envelope, docs_url: str) -> Answer:
    body = {
        "requestId": envelope.request_id,
        "accepted": len(envelope.accepted),
        "rejected": len(envelope.rejected),
        "results": results(envelope),
    }
    if envelope.accepted:
        return Answer(207 if envelope.rejected else 202, msgspec.json.encode(body))
    error = shared_error(RowError(row.code, row.message, row.field) for row in envelope.rejected)  # type: ignore[arg-type]
    refusal = {
        "code": error.code,
        "message": error.message,
        "requestId": envelope.request_id,
        "docsUrl": docs_link(docs_url, error.code),
        "field": error.field,
    }
    return Answer(STATUS[error.code], msgspec.json.encode({"error": refusal} | body))


_RENDERERS: dict[int, Callable[[Envelope, str], Answer]] = {1: _render_1}
