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

    async def send(self, traceparent: str, rows: int = 1, url: str | None = None) -> str:
        """Store a request of a client that traces; the request's id."""
        async with client(url or self.system.gateway_url, self.system.api_key) as app:
            body = b'{"events":[' + b",".join([EVENT] * rows) + b"]}"
            headers = {"Content-Type": "application/json", "traceparent": traceparent}
            answer = await app.send("POST", "/events", body, headers)
            assert answer.status == 202, answer
            return answer.headers["X-Request-Id"]

    def of_request(self, request_id: str) -> list[ReceivedSpan]:
        """The spans of the gateway's answer that have arrived; one, when it has."""
        wanted = ("wepeople.request_id", request_id)
        return [span for span in self.receiver.spans if wanted in span.attributes.items()]

    async def begun(self, request_id: str) -> ReceivedSpan:
        """The span of the gateway's answer to a request."""

        async def received() -> list[ReceivedSpan]:
            return self.of_request(request_id)

        [request] = await eventually(received, bool, what="the request's span")
        return request

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


def new_trace(sampled: str = "01") -> tuple[str, str, str]:
    """A client's trace id, its own span's id, and the header that says both."""
    trace_id, span_id = secrets.token_hex(16), secrets.token_hex(8)
    return trace_id, span_id, f"00-{trace_id}-{span_id}-{sampled}"


async def test_one_trace_leads_from_the_http_request_to_the_projectors_commit(traced: Traced) -> None:
    request_id = await traced.send("", rows=3)
    request = await traced.begun(request_id)
    spans = await traced.spans(request.trace_id, REQUEST, "wepeople-quota quota", PUBLISHED, PROJECTED)
    published, projected = spans[PUBLISHED], spans[PROJECTED]
    assert spans[REQUEST] == request
    assert request.parent_id == ""
    assert published.parent_id == request.span_id
    assert projected.parent_id == published.span_id
    asked = spans[ASKED_QUOTA]
    assert asked.parent_id == request.span_id
    assert spans["wepeople-quota quota"].parent_id == asked.span_id
    assert request.attributes["http.response.status_code"] == 202
    assert projected.attributes["wepeople.batch.rows"] >= 3
    assert projected.attributes["wepeople.schema"] == "live_v1"


async def test_auths_answer_is_in_the_trace_of_the_request_that_asked(traced: Traced) -> None:
    async with client(traced.system.gateway_url, f"wp_live_{secrets.token_hex(16)}") as stranger:
        answer = await stranger.send("GET", "/ping")
    assert answer.status == 401
    request = await traced.begun(answer.headers["X-Request-Id"])
    spans = await traced.spans(request.trace_id, ASKED_AUTH, "wepeople-auth authenticate")
    assert spans["wepeople-auth authenticate"].parent_id == spans[ASKED_AUTH].span_id
    assert spans["wepeople-auth authenticate"].failed


@pytest.mark.parametrize("traceparent", ["", "nonsense", "00-" + "0" * 32 + "-" + "0" * 16 + "-01"])
async def test_a_request_without_a_trace_of_its_own_begins_one(traced: Traced, traceparent: str) -> None:
    request = await traced.begun(await traced.send(traceparent))
    assert (request.parent_id, request.links) == ("", ())
    await traced.spans(request.trace_id, PROJECTED)


@pytest.mark.parametrize("sampled", ["01", "00"])
async def test_a_strangers_trace_is_pointed_at_and_has_no_span_of_ours(traced: Traced, sampled: str) -> None:
    trace_id, client_span, traceparent = new_trace(sampled)
    request = await traced.begun(await traced.send(traceparent))
    assert request.parent_id == ""
    assert request.links == ((trace_id, client_span),)
    await traced.spans(request.trace_id, PROJECTED)
    assert await traced.spans(trace_id) == {}


async def test_a_trace_of_a_trusted_front_goes_on_sampled_as_it_says(traced: Traced, tmp_path: Path) -> None:
    async with running_gateway(traced.system.nats_url, tmp_path / "log", trust_traceparent=True) as gateway:
        unsampled, _, traceparent = new_trace("00")
        await traced.send(traceparent, url=gateway.url)
        trace_id, client_span, traceparent = new_trace("01")
        await traced.send(traceparent, url=gateway.url)
        spans = await traced.spans(trace_id, REQUEST, PROJECTED)
    assert spans[REQUEST].parent_id == client_span
    assert await traced.spans(unsampled) == {}


@pytest.mark.parametrize("trusted", [False, True])
async def test_only_a_trusted_front_has_a_request_sampled_that_we_would_not(
    traced: Traced, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trusted: bool
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0")
    async with running_gateway(traced.system.nats_url, tmp_path / "log", trust_traceparent=trusted) as gateway:
        request_id = await traced.send(new_trace("01")[2], url=gateway.url)
    # It has sent its last spans.
    assert len(traced.of_request(request_id)) == trusted


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
