"""Builds the gateway from its parts, runs it, and stops it without dropping what it has accepted."""

import asyncio
import gc
from collections.abc import Awaitable, Callable
from functools import partial

from aiohttp import web
from nats.aio.client import Client

from wepeople_chassis.broker import NatsAddress, close, connect, serve_ready, wait_for_stop_signal
from wepeople_chassis.logging import configure_logging, get_logger
from wepeople_chassis.ops import Ops, nats_answers, start_ops, stream_answers
from wepeople_gateway.budgets import Budgets
from wepeople_gateway.certificate import ServerCertificate
from wepeople_gateway.connection import Manners
from wepeople_gateway.developers.documents import add_documents
from wepeople_gateway.ingest.handler import IngestHandler
from wepeople_gateway.ingest.publish import Publisher
from wepeople_gateway.metrics import BODIES_IN_FLIGHT, HTTP_CONNECTIONS
from wepeople_gateway.middleware.errors import errors_middleware
from wepeople_gateway.middleware.observed import observed
from wepeople_gateway.middleware.under_way import UnderWay
from wepeople_gateway.principals import Principals
from wepeople_gateway.projected import Positions
from wepeople_gateway.reading import ReadHandler
from wepeople_gateway.room import Room, open_files_for
from wepeople_gateway.server import GatewayRunner, listening_port
from wepeople_gateway.settings import GatewaySettings
from wepeople_gateway.tls import TlsSite

log = get_logger(__name__)

Heard = Callable[[], Awaitable[None]]

_YOUNG_OBJECTS = 10_000
"""Made before the collector looks for cycles; a request of 500 rows makes some 2,000, and nearly no cycle."""

_BACKLOG = 1024
_FINISH_SECONDS = 4.0
"""How long requests under way may take after a stop signal."""


async def serve(settings: GatewaySettings) -> None:
    """Run until a stop signal; `SystemExit` when the port is taken or a NATS connection is closed for good."""
    configure_logging("gateway", settings.log_level)
    ops = await start_ops("gateway", settings)
    closed = asyncio.Event()

    async def on_closed() -> None:
        closed.set()

    async def on_reconnect() -> None:
        await principals.forget_all()

    authenticating, asking, publishing = await _connect(settings.nats, on_closed, on_reconnect)
    principals = Principals(authenticating)
    await principals.listen()
    positions = Positions()
    await positions.listen(asking)
    budgets = Budgets(asking, settings.gateways)
    publisher = Publisher(publishing, settings.publish_seconds)
    ingest = IngestHandler(settings, principals, budgets, publisher, positions)
    reading = ReadHandler(settings, principals, budgets, publisher, asking)
    under_way = UnderWay()
    seen = observed(trusts_traceparent=settings.trust_traceparent)
    around = (under_way.middleware, seen, errors_middleware(settings.docs_url))
    room = Room(open_files_for(settings.max_connections))
    manners = Manners(settings.docs_url, settings.head_seconds, room)
    runner = GatewayRunner(make_app(ingest, reading), manners, settings.idle_seconds, around)
    await runner.setup()
    site = _make_site(runner, settings, room)
    try:
        await site.start()
    except OSError as error:
        raise SystemExit(f"Cannot listen on {settings.http_host}:{settings.http_port}: {error.strerror}.") from error
    scheme = "https" if settings.http_certificate_file else "http"
    log.info("listening", scheme=scheme, host=settings.http_host, port=listening_port(runner))
    # What was built until now stays; walking through it in every collection costs a tenth of a small request.
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS)
    _let_see(ops, ingest, room, publishing)
    await serve_ready(asking, "gateway")
    ops.works()
    stop = asyncio.create_task(wait_for_stop_signal())
    lost = asyncio.create_task(closed.wait())
    await asyncio.wait((stop, lost), return_when=asyncio.FIRST_COMPLETED)
    ops.ends()
    await site.stop()
    await under_way.finish(_FINISH_SECONDS, room)
    await runner.cleanup()
    await ops.stop()
    if lost.done():
        raise SystemExit("A connection to NATS was closed for good; see the log above. Start the gateway again.")
    lost.cancel()
    for connection in (authenticating, asking, publishing):
        await close(connection)


async def _connect(nats: NatsAddress, on_closed: Heard, on_reconnect: Heard) -> tuple[Client, Client, Client]:
    """To ask auth, to ask others, and to store.

    Whoever is asked may publish into our inboxes, and is shown the random name that those of one connection have; so
    nobody but auth can say who somebody is, and none of the services that something is stored.
    """
    one = partial(connect, nats, pending_size=0, closed_cb=on_closed)
    return await one("gateway-auth", on_reconnect=on_reconnect), await one("gateway-rpc"), await one("gateway-publish")


def _make_site(runner: GatewayRunner, settings: GatewaySettings, room: Room) -> web.TCPSite:
    """The listener, with TLS if there is a certificate; the settings see to it that plain HTTP stays where it may."""
    host, port = settings.http_host, settings.http_port
    if settings.http_certificate_file is None or settings.http_key_file is None:
        return web.TCPSite(runner, host, port, backlog=_BACKLOG)
    certificate = ServerCertificate(settings.http_certificate_file, settings.http_key_file)
    return TlsSite(
        runner,
        host,
        port,
        certificate=certificate,
        room=room,
        handshake_seconds=settings.head_seconds,
        backlog=_BACKLOG,
    )


def _let_see(ops: Ops, ingest: IngestHandler, room: Room, publishing: Client) -> None:
    """What the ops server asks and looks at."""
    HTTP_CONNECTIONS.set_function(lambda: len(room))
    BODIES_IN_FLIGHT.set_function(lambda: ingest.bytes_in_flight)
    ops.check("nats", nats_answers(publishing))
    ops.check("jetstream", stream_answers(publishing))


def make_app(ingest: IngestHandler, reading: ReadHandler) -> web.Application:
    """The routes."""
    app = web.Application()
    for path, handler in (
        ("ping", reading.ping),
        ("usage", reading.usage),
        ("limits", reading.limits),
        ("requests/{request_id}", reading.request_status),
    ):
        app.router.add_get(f"/api/v1/ingest/{path}", handler, allow_head=False)
    app.router.add_post("/api/v1/ingest/events", ingest.events)
    app.router.add_post("/api/v1/ingest/snapshots", ingest.snapshots)
    add_documents(app)
    return app
