"""The error codes of the API and what each means to a client: one table, read by every renderer."""

from dataclasses import dataclass
from typing import Literal

Code = Literal[
    "invalid_key",
    "plan_limit",
    "forbidden_event_type",
    "not_found",
    "method_not_allowed",
    "payload_too_large",
    "unsupported_media_type",
    "invalid_body",
    "idempotency_mismatch",
    "rate_limited",
    "internal",
    "unavailable",
]

STATUS: dict[Code, int] = {
    "invalid_body": 400,
    "invalid_key": 401,
    "plan_limit": 402,
    "forbidden_event_type": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "payload_too_large": 413,
    "unsupported_media_type": 415,
    "idempotency_mismatch": 422,
    "rate_limited": 429,
    "internal": 500,
    "unavailable": 503,
}

RETRYABLE: frozenset[Code] = frozenset({"rate_limited", "internal", "unavailable"})
"""Codes after which the same request, sent again unchanged, can succeed."""


@dataclass(frozen=True, slots=True)
class RowError:
    """Why one row was refused: the rule it broke, in words that say how to mend it, and the field at fault."""

    code: Code
    message: str
    field: str | None = None

    @property
    def retryable(self) -> bool:
        """Whether the same row can be accepted later without a change."""
        return self.code in RETRYABLE
