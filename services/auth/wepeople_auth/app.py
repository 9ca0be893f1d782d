"""Auth as a process: the only place that constructs its parts."""

import asyncio
from contextlib import suppress

from faststream.nats import NatsBroker
from nats.aio.client import Client

from wepeople_auth.database import wait_for_schema
from wepeople_auth.directory.commands import DirectoryCommands
from wepeople_auth.directory.handlers import serve_directory_commands
from wepeople_auth.directory.outbox import Outbox
from wepeople_auth.keys.authenticator import Authenticator
from wepeople_auth.keys.commands import KeyCommands
from wepeople_auth.keys.handlers import AuthenticationHandlers, serve_key_commands
from wepeople_auth.keys.hashing import Hashing
from wepeople_auth.keys.matching import Matching
from wepeople_auth.keys.revocation import Revocations
from wepeople_auth.keys.states import KeyStates
from wepeople_auth.keys.store import KeyStore
from wepeople_auth.metrics import BCRYPT_WAITING, OUTBOX_FACTS
from wepeople_auth.settings import AuthSettings
from wepeople_chassis.broker import BROKER_DOWN, serve_ready, wait_for_stop_signal
from wepeople_chassis.ops import Ops, nats_answers, start_ops, stream_answers
from wepeople_chassis.postgres import Pool, database_answers, make_pool
from wepeople_chassis.rpc_server import make_broker
from wepeople_chassis.tasks import end

_STOP_SECONDS = 1.0
_LOOK_SECONDS = 1.0


async def serve(settings: AuthSettings) -> None:
    """Run until SIGTERM or SIGINT; `SystemExit` with one line when it cannot start or go on."""
    ops = await start_ops("auth", settings)
    working = asyncio.create_task(_work(settings, ops))
    stopping = asyncio.create_task(wait_for_stop_signal())
    await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
    ops.ends()
    await end([stopping, working])
    await ops.stop()
    with suppress(asyncio.CancelledError):
        working.result()
        raise SystemExit("The connection to NATS was closed for good; see the log above. Start auth again.")


async def _work(settings: AuthSettings, ops: Ops) -> None:
    """Wait for NATS and Postgres, then answer until cancelled; returns when NATS closes the connection for good."""
    states = KeyStates()

    async def mistrust_memory() -> None:
        # While the connection was lost, revocations went unheard.
        states.forget_all()

    broker = make_broker(settings.nats, "auth", on_reconnect=mistrust_memory)
    pool = make_pool(settings.postgres_dsn.get_secret_value(), "auth", max_size=8)
    hashing = Hashing(cost=settings.bcrypt_cost, workers=settings.bcrypt_workers, waiting=settings.bcrypt_waiting)
    try:
        connection = await broker.connect()
        await pool.open()
        ops.check("nats", nats_answers(connection))
        ops.check("jetstream", stream_answers(connection))
        ops.check("postgres", database_answers(pool))
        await wait_for_schema(pool)
        BCRYPT_WAITING.set_function(lambda: hashing.waiting)
        await _answer(broker, connection, pool, hashing=hashing, states=states, ops=ops)
    finally:
        with suppress(*BROKER_DOWN):
            async with asyncio.timeout(_STOP_SECONDS):
                await broker.stop()
        await pool.close(_STOP_SECONDS)
        hashing.close()


async def _answer(
    broker: NatsBroker, connection: Client, pool: Pool, *, hashing: Hashing, states: KeyStates, ops: Ops
) -> None:
    """Serve every subject of auth's, and send its facts."""
    store = KeyStore(pool)
    revocations = Revocations(connection, states)
    outbox = Outbox(pool, connection)
    authenticator = Authenticator(store, Matching(hashing), states)
    authentication = AuthenticationHandlers(broker, authenticator, revocations)
    authentication.subscribe()
    serve_key_commands(broker, KeyCommands(store, hashing, revocations))
    serve_directory_commands(broker, DirectoryCommands(pool, outbox))
    await broker.start()
    await serve_ready(connection, "auth")
    ops.measure(outbox.measure, OUTBOX_FACTS)
    ops.works()
    try:
        await _send_facts_until_closed(outbox, connection)
    finally:
        await authentication.finish(_STOP_SECONDS)


async def _send_facts_until_closed(outbox: Outbox, connection: Client) -> None:
    sending = asyncio.create_task(outbox.run())
    try:
        while not connection.is_closed and not sending.done():
            await asyncio.wait((sending,), timeout=_LOOK_SECONDS)
        if sending.done():
            await sending
    finally:
        await end([sending])
