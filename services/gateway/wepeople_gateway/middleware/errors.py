"""Every request gets an id, and every failure the error shape: the only place where an exception becomes a response."""

from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.typedefs import Middleware

from wepeople_chassis.logging import about_request, get_logger
from wepeople_contracts.errors import Code
from wepeople_contracts.ids import new_request_id
from wepeople_gateway.errors import ApiError, error_response

log = get_logger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

INTERNAL = ApiError("internal", "Something failed on our side; it is logged under this request id.")


def errors_middleware(docs_url: str) -> Middleware:
    """Every request's middleware: request id, error shape, headers that every answer carries."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        request_id = request["request_id"] = new_request_id()
        about_request(request_id)
        try:
            response = await handler(request)
        except ApiError as error:
            response = error_response(error, request_id, docs_url)
        except web.HTTPException as error:
            response = error_response(_of_http(error), request_id, docs_url)
        except ConnectionError:
            raise
        except Exception:
            log.exception("request_failed", path=request.path)
            response = error_response(INTERNAL, request_id, docs_url)
        response.headers["X-Request-Id"] = request_id
        response.headers["Server"] = "wepeople"
        for name, value in request.get("rate_headers", {}).items():
            response.headers.setdefault(name, value)
        return response

    return middleware


def _of_http(error: web.HTTPException) -> ApiError:
    """aiohttp's own refusals, in the API's words."""
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        return ApiError("method_not_allowed", f"This path takes {allowed}.", headers={"Allow": allowed})
    if isinstance(error, web.HTTPNotFound):
        return ApiError("not_found", "There is nothing at this path; the API is under /api/v1/ingest/.")
    return ApiError(_CODES.get(error.status, "invalid_body"), error.reason)


_CODES: dict[int, Code] = {413: "payload_too_large", 415: "unsupported_media_type", 500: "internal", 503: "unavailable"}
