"""A service's port for those who run it: `/healthz`, `/readyz` and `/metrics`, on a listener of its own.

It is there from the start on, also while the service waits for NATS or Postgres, and needs neither. Nothing here is
secret, and nothing asks who is there: keep the port inside.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from aiohttp import web
from nats.aio.client import Client
from prometheus_client import CONTENT_TYPE_LATEST, Gauge, generate_latest

from wepeople_chassis.asking import Question
from wepeople_chassis.broker import BROKER_DOWN
from wepeople_chassis.logging import get_logger
from wepeople_chassis.metrics import READY, UNKNOWN, LineCounter
from wepeople_chassis.settings import ServiceSettings
from wepeople_chassis.stream import StreamError, stream_states
from wepeople_chassis.tracing import start_tracing, stop_tracing

log = get_logger(__name__)

ANSWER_SECONDS = 2.0
"""So long a check or a measurement may take."""

KEPT_SECONDS = 1.0
"""An answer, and what was measured, is given again for so long, however often it is asked for."""

Check = Callable[[], Awaitable[str | None]]
"""What keeps a service from working, in a few words without secrets; None when nothing does."""

STARTING = "is starting"
STOPPING = "is stopping"


class Measurement:
    """Something that is looked at when it is asked for."""

    def __init__(self, look: Callable[[], Awaitable[None]], gauges: Sequence[Gauge]) -> None:
        self._look = Question(look)
        self._gauges = gauges
        self._failed = False
        self._taken_at = float("-inf")

    async def take(self) -> None:
        """Set the gauges, unless that was done just now; what cannot be known says so, and once in the log."""
        if time.monotonic() < self._taken_at + KEPT_SECONDS:
            return
        try:
            await self._look.answer(ANSWER_SECONDS)
            self._failed = False
        except Exception as error:
            for gauge in self._gauges:
                _unknown(gauge)
            if not self._failed:
                log.warning("not_measured", gauges=[gauge._name for gauge in self._gauges], error=repr(error))
            self._failed = True
        self._taken_at = time.monotonic()


def _unknown(gauge: Gauge) -> None:
    """Of one that has labels, the series are gone until they are known again."""
    if gauge._labelnames:
        gauge.clear()
    else:
        gauge.set(UNKNOWN)


class Ops:
    """Made by `start_ops`. A service says what it needs (`check`), what to look at (`measure`), and when it works."""

    def __init__(self, service: str) -> None:
        self.port = 0
        self._service = service
        self._checks: dict[str, Question[str | None]] = {"service": Question(self._says_itself)}
        self._measurements: list[Measurement] = []
        self._state: str | None = STARTING
        self._found: dict[str, str | None] = {}
        self._found_at = float("-inf")
        self._asking = asyncio.Lock()
        self._runner: web.AppRunner | None = None

    def check(self, name: str, ask: Check) -> None:
        """From now on the service is ready only while this finds nothing wrong, and says so in time."""
        self._checks[name] = Question(ask)

    def measure(self, look: Callable[[], Awaitable[None]], *gauges: Gauge) -> None:
        """Let `look` set these gauges when they are asked for; unknown when it fails, or takes too long."""
        self._measurements.append(Measurement(look, gauges))

    def works(self) -> None:
        """The service can work from now on, if what it needs answers."""
        self._state = None
        self._found_at = float("-inf")

    def ends(self) -> None:
        """The service finishes what it has begun, and should be sent nothing more."""
        self._state = STOPPING
        self._found_at = float("-inf")

    async def stop(self) -> None:
        """Send the last spans and close the port, at the very end."""
        stop_tracing()
        if self._runner is not None:
            await self._runner.cleanup()

    async def listen(self, host: str, port: int) -> None:
        """Answer from now on; `SystemExit` when the port is taken."""
        app = web.Application()
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.3)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError as error:
            raise SystemExit(f"Cannot listen on {host}:{port} (WEPEOPLE_OPS_PORT): {error.strerror}.") from error
        address: Any = self._runner.addresses[0]
        self.port = int(address[1])
        log.info("ops_listening", host=host, port=self.port)

    async def _healthz(self, _: web.Request) -> web.Response:
        # That there is an answer is the answer: the loop turns.
        return web.json_response({"service": self._service, "alive": True})

    async def _readyz(self, _: web.Request) -> web.Response:
        found = await self._ask_all()
        ready = not any(found.values())
        checks = {name: wrong or "ok" for name, wrong in found.items()}
        answer = {"service": self._service, "ready": ready, "checks": checks}
        return web.json_response(answer, status=200 if ready else 503)

    async def _metrics(self, _: web.Request) -> web.Response:
        await asyncio.gather(self._ask_all(), *(one.take() for one in self._measurements))
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _ask_all(self) -> dict[str, str | None]:
        """What each check finds, asked anew if that was a while ago; the metric says the same."""
        async with self._asking:
            if time.monotonic() >= self._found_at + KEPT_SECONDS:
                names = list(self._checks)
                answers = await asyncio.gather(*(_ask(self._checks[name]) for name in names))
                self._found = dict(zip(names, answers, strict=True))
                self._found_at = time.monotonic()
                for name, wrong in self._found.items():
                    READY.labels(name).set(wrong is None)
            return self._found

    async def _says_itself(self) -> str | None:
        return self._state


async def start_ops(service: str, settings: ServiceSettings) -> Ops:
    """The ops server of a service, listening, and its traces, if they are wanted; call it first."""
    start_tracing(service)
    logging.getLogger().addHandler(LineCounter())
    ops = Ops(service)
    await ops.listen(settings.ops_host, settings.ops_port)
    return ops


def nats_answers(connection: Client) -> Check:
    """Whether the connection stands and the server answers on it."""

    async def ask() -> str | None:
        if not connection.is_connected:
            return "not connected"
        return await _answers(connection.flush(timeout=1))

    return ask


def stream_answers(connection: Client) -> Check:
    """Whether JetStream says how the streams stand."""

    async def ask() -> str | None:
        return await _answers(stream_states(connection))

    return ask


async def _answers(asking: Coroutine[Any, Any, object]) -> str | None:
    try:
        await asking
    except StreamError as error:
        return str(error)
    except BROKER_DOWN as error:
        return type(error).__name__
    return None


async def _ask(check: Question[str | None]) -> str | None:
    try:
        return await check.answer(ANSWER_SECONDS)
    except TimeoutError:
        return f"no answer within {ANSWER_SECONDS:g} s"
    except Exception as error:
        log.exception("check_failed")
        return type(error).__name__
