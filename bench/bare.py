"""The bare limit: an aiohttp handler that reads a body and publishes it as one message; nothing is looked at.

`python -m bench.bare NATS_URL PORT` serves it, in a process like the gateway's: uvloop, the same server options, the
same connection settings, a `Nats-Msg-Id` on each message, a stream with the settings of the real one on the same
nats-server. It also answers requests on `bench.echo`, the bare limit of a call between services.
"""

import json
import sys
from itertools import count
from typing import Any

import uvloop
from aiohttp import web
from nats.aio.client import Client
from nats.aio.msg import Msg

from wepeople_chassis.broker import NatsAddress, connect, serve_ready, wait_for_stop_signal
from wepeople_contracts.envelope import MSG_ID_HEADER
from wepeople_provision.stream_plan import SETTINGS

NAME = "bare"
STREAM = "BARE"
SUBJECT = "bare.events"
ECHO = "bench.echo"
PATH = "/bare"
_MAX_BODY_BYTES = 9 * 1024 * 1024
_PUBLISH_SECONDS = 5.0


def make_app(publishing: Client) -> web.Application:
    """One route: the body becomes a message, and 202 follows once it is on disk."""
    numbers = count()

    async def handle(request: web.Request) -> web.Response:
        body = await request.read()
        headers = {MSG_ID_HEADER: f"bare-{next(numbers)}"}
        reply = await publishing.request(SUBJECT, body, timeout=_PUBLISH_SECONDS, headers=headers)
        acknowledged: dict[str, Any] = json.loads(reply.data)
        return web.Response(status=202 if "seq" in acknowledged else 503, body=reply.data)

    app = web.Application(client_max_size=_MAX_BODY_BYTES)
    app.router.add_post(PATH, handle)
    return app


async def make_stream(connection: Client) -> None:
    """A stream like the real one, emptied if it was there; only its name and subject differ."""
    settings = SETTINGS | {"name": STREAM, "subjects": [SUBJECT], "num_replicas": 1}
    for call, payload in ((f"DELETE.{STREAM}", b""), (f"CREATE.{STREAM}", json.dumps(settings).encode())):
        reply = await connection.request(f"$JS.API.STREAM.{call}", payload, timeout=10)
    if "error" in json.loads(reply.data):
        raise RuntimeError(f"the bare stream could not be made: {reply.data.decode()}")


async def serve(nats_url: str, port: int) -> None:
    """Run until a stop signal."""

    async def echo(message: Msg) -> None:
        await message.respond(message.data)

    asking = await connect(NatsAddress(nats_url), "bare-echo", pending_size=0)
    publishing = await connect(NatsAddress(nats_url), "bare-publish", pending_size=0)
    await make_stream(asking)
    await asking.subscribe(ECHO, cb=echo)
    runner = web.AppRunner(make_app(publishing), access_log=None, auto_decompress=False)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=1024).start()
    await serve_ready(asking, NAME)
    await wait_for_stop_signal()
    await runner.cleanup()
    await publishing.close()
    await asking.close()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1], int(sys.argv[2])))
