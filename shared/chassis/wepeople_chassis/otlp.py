"""Traces by OpenTelemetry's SDK, sent by OTLP over HTTP. Imported by `tracing.py` alone, when traces are wanted."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_NAMESPACE, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from wepeople_chassis.tracing import TRACEPARENT, Kind, Span, Value

STOP_SECONDS = 0.5
_KINDS: Mapping[Kind, SpanKind] = {
    "internal": SpanKind.INTERNAL,
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
    "producer": SpanKind.PRODUCER,
    "consumer": SpanKind.CONSUMER,
}


class OtlpTracing:
    """Batches spans in memory and sends them from a thread of its own; what a full queue cannot hold is dropped."""

    def __init__(self, service: str) -> None:
        resource = Resource.create({SERVICE_NAME: f"wepeople-{service}", SERVICE_NAMESPACE: "wepeople"})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("wepeople")
        self._propagator = TraceContextTextMapPropagator()

    @contextmanager
    def span(
        self, name: str, kind: Kind, parent: str | None, attributes: Mapping[str, Value], link: str
    ) -> Iterator[Span]:
        """A span that is the current one inside; an exception that leaves it is noted without its words, which may
        hold what nobody should read.
        """
        with self._tracer.start_as_current_span(
            name,
            context=self._context_of(parent),
            kind=_KINDS[kind],
            attributes=attributes,
            links=self._links_to(link),
            record_exception=False,
            set_status_on_exception=False,
        ) as begun:
            try:
                yield _OtlpSpan(begun)
            except BaseException as error:
                begun.set_status(StatusCode.ERROR, type(error).__name__)
                raise

    def record(self, name: str, parent: str, *, began_ns: int, ended_ns: int, attributes: Mapping[str, Value]) -> None:
        """A consumer's span of the past."""
        context = self._context_of(parent)
        begun = self._tracer.start_span(name, context, SpanKind.CONSUMER, attributes=attributes, start_time=began_ns)
        begun.end(ended_ns)

    def current(self) -> tuple[str, str] | None:
        """The current span's `traceparent`, and its trace id."""
        context = trace.get_current_span().get_span_context()
        if not context.is_valid:
            return None
        found = trace.format_trace_id(context.trace_id)
        return f"00-{found}-{trace.format_span_id(context.span_id)}-{context.trace_flags:02x}", found

    def stop(self) -> None:
        """Send what is left, for `STOP_SECONDS` at most: a collector that is away must not hold up the end."""
        sending = threading.Thread(target=self._provider.shutdown, daemon=True)
        sending.start()
        sending.join(STOP_SECONDS)

    def _context_of(self, parent: str | None) -> Context | None:
        return None if parent is None else self._propagator.extract({TRACEPARENT: parent}, Context())

    def _links_to(self, link: str) -> list[trace.Link]:
        if not link:
            return []
        found = trace.get_current_span(self._context_of(link)).get_span_context()
        return [trace.Link(found)] if found.is_valid else []


class _OtlpSpan:
    def __init__(self, begun: trace.Span) -> None:
        self._begun = begun

    def rename(self, name: str) -> None:
        self._begun.update_name(name)

    def note(self, attributes: Mapping[str, Value]) -> None:
        self._begun.set_attributes(attributes)

    def fail(self, reason: str) -> None:
        self._begun.set_status(StatusCode.ERROR, reason)
