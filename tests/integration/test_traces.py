"""One trace shows a request's whole way: over HTTP into the gateway, to auth and quota, into the stream, and with the
projector's transaction into the read models. Real processes, and a receiver of traces in this one.
"""

import secrets
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.client import client
from tests.support.fresh import Template
from tests.support.gateways import running_gateway
from tests.support.otlp import ReceivedSpan, Receiver, otlp_receiver
from tests.support.read_models import eventually
from tests.support.system import RunningSystem, running_system
from wepeople_embedded.ports import HOST

EVENT = b'{"eventType":"deploy.shipped","category":"engineering","actor":{"email":"ada@example.com"}}'

ASKED_AUTH = "wepeople-gateway rpc.auth.authenticate"
ASKED_QUOTA = "wepeople-gateway rpc.quota.reserve"
REQUEST = "wepeople-gateway POST /api/v1/ingest/events"
PUBLISHED = "wepeople-gateway publish"
PROJECTED = "wepeople-projector project"


class Traced:
    """A running system whose spans come here."""

    def __init__(self, system: RunningSystem, receiver: Receiver) -> None:
        self.system = system
        self.receiver = receiver

    async def send(self, traceparent: str, rows: int = 1) -> str:
        """Store a request of a client that traces; the request's id."""
        async with client(self.system.gateway_url, self.system.api_key) as app:
            body = b'{"events":[' + b",".join([EVENT] * rows) + b"]}"
            headers = {"Content-Type": "application/json", "traceparent": traceparent}
            answer = await app.send("POST", "/events", body, headers)
            assert answer.status == 202, answer
            return answer.headers["X-Request-Id"]

    async def spans(self, trace_id: str, *names: str) -> dict[str, ReceivedSpan]:
        """The trace's spans, once these are among them."""

        async def received() -> dict[str, ReceivedSpan]:
            return self.receiver.of_trace(trace_id)

        return await eventually(received, lambda spans: set(names) <= spans.keys(), what=f"spans {names}")


@pytest.fixture(scope="module")
async def traced(template: Template, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Traced]:
    async with otlp_receiver() as receiver:
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
            environment.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
            directory: Path = tmp_path_factory.mktemp("traced")
            async with running_system(template, directory) as system:
                yield Traced(system, receiver)


def new_trace() -> tuple[str, str, str]:
    """A client's trace id, its own span's id, and the header that says both."""
    trace_id, span_id = secrets.token_hex(16), secrets.token_hex(8)
    return trace_id, span_id, f"00-{trace_id}-{span_id}-01"


async def test_one_trace_leads_from_the_http_request_to_the_projectors_commit(traced: Traced) -> None:
    trace_id, client_span, traceparent = new_trace()
    request_id = await traced.send(traceparent, rows=3)
    spans = await traced.spans(trace_id, REQUEST, "wepeople-quota quota", PUBLISHED, PROJECTED)
    request, published, projected = spans[REQUEST], spans[PUBLISHED], spans[PROJECTED]
    assert request.parent_id == client_span
    assert published.parent_id == request.span_id
    assert projected.parent_id == published.span_id
    asked = spans[ASKED_QUOTA]
    assert asked.parent_id == request.span_id
    assert spans["wepeople-quota quota"].parent_id == asked.span_id
    assert request.attributes["wepeople.request_id"] == request_id
    assert request.attributes["http.response.status_code"] == 202
    assert projected.attributes["wepeople.batch.rows"] >= 3
    assert projected.attributes["wepeople.schema"] == "live_v1"


async def test_auths_answer_is_in_the_trace_of_the_request_that_asked(traced: Traced) -> None:
    trace_id, _, traceparent = new_trace()
    async with client(traced.system.gateway_url, f"wp_live_{secrets.token_hex(16)}") as stranger:
        answer = await stranger.send("GET", "/ping", headers={"traceparent": traceparent})
    assert answer.status == 401
    spans = await traced.spans(trace_id, ASKED_AUTH, "wepeople-auth authenticate")
    assert spans["wepeople-auth authenticate"].parent_id == spans[ASKED_AUTH].span_id
    assert spans["wepeople-auth authenticate"].failed


@pytest.mark.parametrize("traceparent", ["", "nonsense", "00-" + "0" * 32 + "-" + "0" * 16 + "-01"])
async def test_a_request_without_a_trace_of_its_own_begins_one(traced: Traced, traceparent: str) -> None:
    request_id = await traced.send(traceparent)

    async def begun() -> list[ReceivedSpan]:
        wanted = ("wepeople.request_id", request_id)
        return [span for span in traced.receiver.spans if wanted in span.attributes.items()]

    [request] = await eventually(begun, bool, what="the request's span")
    assert request.parent_id == ""
    await traced.spans(request.trace_id, PROJECTED)


async def test_a_trace_that_its_client_does_not_sample_is_not_sent_anywhere(traced: Traced) -> None:
    unsampled, _, traceparent = new_trace()
    await traced.send(traceparent.removesuffix("01") + "00")
    trace_id, _, traceparent = new_trace()
    await traced.send(traceparent)
    await traced.spans(trace_id, PROJECTED)
    assert await traced.spans(unsampled) == {}


async def test_a_collector_that_does_not_answer_holds_up_neither_requests_nor_the_end(
    traced: Traced, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as silent:
        silent.bind((HOST, 0))
        silent.listen()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://{HOST}:{silent.getsockname()[1]}")
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        async with running_gateway(traced.system.nats_url, tmp_path / "gateway.log") as gateway:
            async with client(gateway.url, traced.system.api_key) as app:
                assert [(await app.ping()).status for _ in range(20)] == [200] * 20
            began = time.monotonic()
            await gateway.stop()
            assert time.monotonic() - began < 4
