"""From committed rows to the stream: every directory fact, in order, exactly once.

A fact is written in the transaction that makes it true, and deleted once JetStream has acknowledged it. A crash in
between sends it again under the same `Nats-Msg-Id`, which the stream drops within its duplicate window of ten minutes.
After a longer outage it could be stored twice, so every projection must apply a fact by its `fact_id` at most once.
"""

import asyncio
import time

from nats.aio.client import Client
from nats.js.errors import APIError, NoStreamResponseError

from wepeople_auth.database import Connection, load_queries, transaction
from wepeople_auth.directory.facts import OutboxFact
from wepeople_auth.metrics import OUTBOX_FACTS
from wepeople_auth.refusals import DatabaseAway, unavailable
from wepeople_chassis.broker import BROKER_DOWN
from wepeople_chassis.logging import get_logger
from wepeople_chassis.metrics import UNKNOWN
from wepeople_chassis.postgres import Pool, act_across_orgs
from wepeople_chassis.stream import StreamError, stream_states
from wepeople_contracts.envelope import MSG_ID_HEADER

log = get_logger(__name__)

PUBLISH_SECONDS = 2.0
DELIVER_SECONDS = 3.0
POLL_SECONDS = 1.0
_PAUSE_SECONDS = 0.05
_FULL = "maximum bytes exceeded"
"""So the server says that a stream has no room for a message."""

_QUERIES = load_queries("wepeople_auth.directory", "outbox.sql")


class Outbox:
    """Writes facts beside the rows they tell of, and sends them."""

    def __init__(self, pool: Pool, connection: Client) -> None:
        self._pool = pool
        self._connection = connection
        self._stream = connection.jetstream()
        self._sending = asyncio.Lock()
        self._deliveries: set[asyncio.Task[int]] = set()

    async def require_stream(self) -> None:
        """Before a command writes anything: `unavailable` when its fact could not be stored now."""
        try:
            await stream_states(self._connection)
        except (*BROKER_DOWN, StreamError) as error:
            raise unavailable("JetStream does not answer. Nothing was changed; try again in a moment.") from error

    async def write(self, connection: Connection, fact: OutboxFact) -> None:
        """Add a fact to the caller's transaction."""
        await connection.execute(_QUERIES["insert"], (fact.fact_id, fact.org_id, fact.subject, fact.body))

    async def deliver(self, fact: OutboxFact, what: str) -> int:
        """The sequence under which a committed fact is in the stream, once it is.

        `unavailable` after `DELIVER_SECONDS`: then `what` is done, and its fact still goes in by itself.
        """
        task = asyncio.create_task(self._send_through(fact))
        self._deliveries.add(task)
        task.add_done_callback(self._delivered)
        await asyncio.wait({task}, timeout=DELIVER_SECONDS)
        error = task.exception() if task.done() else None
        if error or not task.done():
            raise unavailable(
                f"{what}, but the stream does not know of it yet, as {_why_not(error)}: do not repeat the command."
            )
        return task.result()

    async def run(self) -> None:
        """Send for ever what commands, or crashed processes, have left."""
        away = False
        while True:
            try:
                await self._drain()
                away = False
            except (*BROKER_DOWN, DatabaseAway) as error:
                if not away:
                    log.warning("outbox_waits", error=repr(error))
                away = True
            await asyncio.sleep(POLL_SECONDS)

    async def measure(self) -> None:
        """How many facts wait; `DatabaseAway` when nobody can tell."""
        async with transaction(self._pool, wait_seconds=1.0) as connection:
            await act_across_orgs(connection, "outbox")
            row = await (await connection.execute(_QUERIES["count"])).fetchone()
        OUTBOX_FACTS.set(row[0] if row else UNKNOWN)

    async def _send_through(self, fact: OutboxFact) -> int:
        sent = await self._drain()
        # Sent by another task or process, it has its sequence already: a duplicate is told the original's.
        return sent.get(fact.fact_id) or await self._publish(fact)

    async def _drain(self) -> dict[str, int]:
        """Send all there is, oldest first; the sequence of each fact sent."""
        sent: dict[str, int] = {}
        async with self._sending:
            while (fact_and_sequence := await self._send_first()) is not None:
                fact_id, sequence = fact_and_sequence
                sent[fact_id] = sequence
        return sent

    async def _send_first(self) -> tuple[str, int] | None:
        """Send the oldest fact and delete it; its row's lock keeps other processes from overtaking."""
        async with transaction(self._pool) as connection:
            await act_across_orgs(connection, "outbox")
            row = await (await connection.execute(_QUERIES["first"])).fetchone()
            if row is None:
                return None
            fact = OutboxFact(*row)
            sequence = await self._publish(fact)
            await connection.execute(_QUERIES["delete"], (fact.fact_id,))
        log.info("fact_stored", fact_id=fact.fact_id, org_id=fact.org_id, sequence=sequence)
        return fact.fact_id, sequence

    async def _publish(self, fact: OutboxFact) -> int:
        headers = {MSG_ID_HEADER: fact.fact_id}
        deadline = time.monotonic() + PUBLISH_SECONDS
        while True:
            try:
                stored = await self._stream.publish(fact.subject, fact.body, timeout=PUBLISH_SECONDS, headers=headers)
                return int(stored.seq)
            except NoStreamResponseError:
                # Nobody takes it for the moment in which its stream is split.
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(_PAUSE_SECONDS)

    def _delivered(self, task: asyncio.Task[int]) -> None:
        self._deliveries.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.warning("fact_not_delivered", error=repr(error))


def _why_not(error: BaseException | None) -> str:
    if isinstance(error, APIError) and error.description == _FULL:
        room = "WEPEOPLE_STREAM_MAX_BYTES, then `wepeople provision`"
        return f"a stream is full. It will by itself once that has more room ({room})"
    return "JetStream went away. It will by itself once JetStream is back"
