"""Traces, from the HTTP request through NATS to the projector's transaction, by OpenTelemetry.

Off unless `OTEL_EXPORTER_OTLP_ENDPOINT` is set: then nothing of OpenTelemetry is even imported, and a span costs a
function call. The other standard variables (`OTEL_TRACES_SAMPLER` and so on) hold as its documentation says.

Between processes a trace travels as the header `traceparent` (W3C), in requests and in stored messages.
"""

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Literal, Protocol

TRACEPARENT = "traceparent"
ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")

Kind = Literal["internal", "server", "client", "producer", "consumer"]
Value = str | int | float | bool


class Span(Protocol):
    """What is being done."""

    def rename(self, name: str) -> None:
        """Call it otherwise, once more is known."""

    def note(self, attributes: Mapping[str, Value]) -> None:
        """Add facts."""

    def fail(self, reason: str) -> None:
        """Say that it did not come off, and why."""


class Tracing(Protocol):
    """What makes spans and sends them somewhere."""

    def span(
        self, name: str, kind: Kind, parent: str | None, attributes: Mapping[str, Value], link: str
    ) -> AbstractContextManager[Span]:
        """A span that is the current one inside; of the trace of `parent`, or of a new one if that names none (it may
        be empty), or without a `parent` of the current one. It points at `link`, which decides nothing.
        """

    def record(self, name: str, parent: str, *, began_ns: int, ended_ns: int, attributes: Mapping[str, Value]) -> None:
        """A consumer's span of the past, nanoseconds since 1970."""

    def current(self) -> tuple[str, str] | None:
        """The current span's `traceparent` and trace id; None outside of all spans."""

    def stop(self) -> None:
        """Send what is left, for half a second at most."""


class _NoSpan:
    def rename(self, name: str) -> None:
        return

    def note(self, attributes: Mapping[str, Value]) -> None:
        return

    def fail(self, reason: str) -> None:
        return


class _Off:
    """Nobody wants traces."""

    nothing = nullcontext(_NoSpan())

    def span(
        self, name: str, kind: Kind, parent: str | None, attributes: Mapping[str, Value], link: str
    ) -> AbstractContextManager[Span]:
        return self.nothing

    def record(self, name: str, parent: str, *, began_ns: int, ended_ns: int, attributes: Mapping[str, Value]) -> None:
        return

    def current(self) -> tuple[str, str] | None:
        return None

    def stop(self) -> None:
        return


class _Process:
    """Where this process's spans go."""

    tracing: Tracing = _Off()
    is_on = False


_process = _Process()
_NO_ATTRIBUTES: Mapping[str, Value] = {}


def start_tracing(service: str) -> None:
    """Send this process's spans to where the environment says, if it says so."""
    if any(os.environ.get(name) for name in ENDPOINTS):
        # Half a second and 30 MB, for those who want traces.
        from wepeople_chassis.otlp import OtlpTracing  # noqa: PLC0415

        _process.tracing, _process.is_on = OtlpTracing(service), True


def stop_tracing() -> None:
    """Send what is left; from now on nothing is traced."""
    tracing, _process.tracing, _process.is_on = _process.tracing, _Off(), False
    tracing.stop()


def is_tracing() -> bool:
    """Whether spans go anywhere."""
    return _process.is_on


def span(
    name: str,
    kind: Kind = "internal",
    parent: str | None = None,
    attributes: Mapping[str, Value] = _NO_ATTRIBUTES,
    link: str = "",
) -> AbstractContextManager[Span]:
    """`with span("publish", "producer") as sent:`; see `Tracing.span`."""
    return _process.tracing.span(name, kind, parent, attributes, link)


def served(name: str, headers: Mapping[str, str] | None) -> AbstractContextManager[Span]:
    """The span in which a request of another service is answered, if it came with a trace."""
    parent = headers.get(TRACEPARENT) if _process.is_on and headers else None
    return _Off.nothing if parent is None else span(name, "server", parent)


def record(name: str, parent: str, *, began_ns: int, ended_ns: int, attributes: Mapping[str, Value]) -> None:
    """A span of the past; see `Tracing.record`."""
    _process.tracing.record(name, parent, began_ns=began_ns, ended_ns=ended_ns, attributes=attributes)


def carried() -> dict[str, str]:
    """The headers that carry the current trace on; none when there is no trace."""
    current = _process.tracing.current()
    return {} if current is None else {TRACEPARENT: current[0]}


def trace_id() -> str | None:
    """Of the current trace, for the log."""
    current = _process.tracing.current()
    return None if current is None else current[1]
