"""Every request as those see it who run the gateway: counted by route and status, timed, and a span of its trace."""

import time

from aiohttp import web
from aiohttp.typedefs import Middleware

from wepeople_chassis.tracing import TRACEPARENT, Span, is_tracing, span
from wepeople_gateway.metrics import OTHER, answered, known_method
from wepeople_gateway.middleware.errors import Handler

_SERVER_ERRORS = 500


def observed(*, trusts_traceparent: bool) -> Middleware:
    """Around everything that makes an answer of a request; a client that left before has none, and is not counted.

    Whoever sends a `traceparent` has not said yet who it is: unless somebody we trust sees to what it says, a request
    is a trace of its own, sampled or not as we like, which points at the caller's.
    """

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        began = time.perf_counter()
        if is_tracing():
            response = await _traced(request, handler, trusts_traceparent)
        else:
            response = await handler(request)
        answered(route_of(request), request.method, response.status, time.perf_counter() - began)
        return response

    return middleware


def route_of(request: web.Request) -> str:
    """The route's pattern, never the path, which is the client's own."""
    match = request._match_info
    resource = None if match is None else match.route.resource
    return OTHER if resource is None else resource.canonical


async def _traced(request: web.Request, handler: Handler, trusts_traceparent: bool) -> web.StreamResponse:
    callers = request.headers.get(TRACEPARENT, "")
    parent, link = (callers, "") if trusts_traceparent else ("", callers)
    with span(f"{known_method(request.method)} request", "server", parent, link=link) as answering:
        response = await handler(request)
        _note(answering, request, response)
        return response


def _note(answering: Span, request: web.Request, response: web.StreamResponse) -> None:
    route = route_of(request)
    answering.rename(f"{known_method(request.method)} {route}")
    answering.note(
        {
            "http.request.method": known_method(request.method),
            "http.route": route,
            "http.response.status_code": response.status,
            "wepeople.request_id": request["request_id"],
        }
    )
    if "org_id" in request:
        answering.note({"wepeople.org_id": request["org_id"]})
    if response.status >= _SERVER_ERRORS:
        answering.fail(f"answered {response.status}")
