"""Every request as those see it who run the gateway: counted by route and status, timed, and a span of its trace."""

import time

from aiohttp import web

from wepeople_chassis.tracing import TRACEPARENT, Span, is_tracing, span
from wepeople_gateway.metrics import OTHER, answered, known_method
from wepeople_gateway.middleware.errors import Handler

_SERVER_ERRORS = 500


@web.middleware
async def observed(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Around everything that makes an answer of a request; a client that left before has none, and is not counted."""
    began = time.perf_counter()
    if is_tracing():
        response = await _traced(request, handler)
    else:
        response = await handler(request)
    answered(route_of(request), request.method, response.status, time.perf_counter() - began)
    return response


def route_of(request: web.Request) -> str:
    """The route's pattern, never the path, which is the client's own."""
    match = request._match_info
    resource = None if match is None else match.route.resource
    return OTHER if resource is None else resource.canonical


async def _traced(request: web.Request, handler: Handler) -> web.StreamResponse:
    with span(f"{known_method(request.method)} request", "server", request.headers.get(TRACEPARENT, "")) as answering:
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
