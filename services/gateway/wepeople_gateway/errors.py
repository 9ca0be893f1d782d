"""What the gateway refuses, and the one shape in which it says so."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiohttp import web

from wepeople_contracts.errors import STATUS, Code


@dataclass(slots=True)
class ApiError(Exception):
    """A request that is refused as a whole. `details` are further fields of the error object; `close` ends the
    connection after the answer, for a request whose body was not read to its end.
    """

    code: Code
    message: str
    details: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    close: bool = False


class MalformedBody(Exception):
    """The request as a whole cannot be understood; `str()` says what to mend. Answered 400, after quota."""


def unavailable(message: str, *, retry_after_seconds: int = 1, **details: Any) -> ApiError:
    """503: a part the request needs is away, or the gateway is full; the same request can succeed later."""
    return ApiError("unavailable", message, details, {"Retry-After": str(retry_after_seconds)})


def docs_link(docs_url: str, code: Code) -> str:
    """Where the guide says what a code means and what to do; relative to the gateway unless the setting is absolute."""
    return f"{docs_url}#errors-{code}"


def error_body(error: ApiError, request_id: str, docs_url: str) -> bytes:
    """The error object every refusal is answered with (the guide, 'Errors')."""
    fields = {
        "code": error.code,
        "message": error.message,
        "requestId": request_id,
        "docsUrl": docs_link(docs_url, error.code),
    }
    return msgspec.json.encode({"error": fields | dict(error.details)})


def error_response(error: ApiError, request_id: str, docs_url: str) -> web.Response:
    """The response of a refusal: the one place where a code becomes a status."""
    response = web.Response(
        status=STATUS[error.code],
        body=error_body(error, request_id, docs_url),
        content_type="application/json",
        headers=error.headers,
    )
    if error.close:
        response.force_close()
    return response
