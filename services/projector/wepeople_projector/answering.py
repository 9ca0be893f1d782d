"""Answers what became of a request: "not found" only once the read models have passed what was stored at the asking.

It reads the database and never the memory of the engine, so any of several projectors answers the same.
"""

import asyncio

import psycopg
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from pydantic import ValidationError

from wepeople_chassis.broker import BROKER_DOWN
from wepeople_chassis.logging import get_logger
from wepeople_chassis.postgres import Pool
from wepeople_chassis.stream import quietly, stream_of
from wepeople_chassis.tasks import end
from wepeople_contracts.projection import RequestQuery, RequestStatus
from wepeople_contracts.reply import Reply, RpcError
from wepeople_contracts.subjects import REQUEST_STATUS, partition_filter, partition_of
from wepeople_projections.running.checkpoint import last_of
from wepeople_projector.lookup import Look, look

log = get_logger(__name__)

QUEUE = "projector"
MAX_ASKING = 64
WAIT_SECONDS = 5.0
_POLL_SECONDS = 0.05

_BEHIND = RpcError(code="unavailable", message="the read models have not come so far yet; ask again shortly")
_BUSY = RpcError(code="unavailable", message="too many are asking at once; ask again shortly")
_AWAY = RpcError(code="unavailable", message="what the answer needs is away; ask again shortly")

StatusReply = Reply[RequestStatus]


class RequestDesk:
    """Answers `REQUEST_STATUS`; a question that has to wait holds up no other."""

    def __init__(self, connection: Client, pool: Pool) -> None:
        self._connection = connection
        self._pool = pool
        self._asking: set[asyncio.Task[None]] = set()
        self._subscription: Subscription | None = None

    async def open(self) -> None:
        """Answer from now on."""
        if self._subscription is None:
            self._subscription = await self._connection.subscribe(REQUEST_STATUS, queue=QUEUE, cb=self._take)

    async def hush(self) -> None:
        """Take no more questions; those that were asked are still answered."""
        if self._subscription is not None:
            subscription, self._subscription = self._subscription, None
            await quietly(subscription.drain())  # type: ignore[no-untyped-call]

    async def close(self) -> None:
        """Leave those who are waiting; the connection is about to be closed."""
        await end(self._asking)

    async def _take(self, message: Msg) -> None:
        if len(self._asking) >= MAX_ASKING:
            await _respond(message, StatusReply(error=_BUSY))
            return
        task = asyncio.create_task(self._answer(message))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def _answer(self, message: Msg) -> None:
        try:
            query = RequestQuery.model_validate_json(message.data)
            reply = await self._find(query)
        except ValidationError as error:
            reply = StatusReply(error=RpcError(code="invalid", message=str(error)))
        except (psycopg.OperationalError, *BROKER_DOWN) as error:
            log.warning("request_status_unavailable", error=repr(error))
            reply = StatusReply(error=_AWAY)
        except Exception as error:
            log.exception("request_status_failed", exc_info=error)
            reply = StatusReply(error=RpcError(code="internal", message="the projector failed; its log says why"))
        await _respond(message, reply)

    async def _find(self, query: RequestQuery) -> Reply[RequestStatus]:
        found = await self._look(query)
        if found.status is not None:
            return StatusReply(ok=found.status)
        stored_through = await self._last_of_partition(query.org_id)
        clock = asyncio.get_running_loop().time
        deadline = clock() + WAIT_SECONDS
        while True:
            found = await self._look(query)
            reply = answer(query, found, stored_through)
            if reply.error != _BEHIND or clock() >= deadline:
                return reply
            await asyncio.sleep(_POLL_SECONDS)

    async def _look(self, query: RequestQuery) -> Look:
        async with self._pool.connection() as connection:
            return await look(connection, query)

    async def _last_of_partition(self, org_id: str) -> int:
        """Where the partition of the org ends now. The whole stream's end would be of others, and an idle partition's
        checkpoint follows that only every few seconds.
        """
        partition = partition_of(org_id)
        stream = await stream_of(self._connection, partition)
        return await last_of(self._connection, stream.name, partition_filter(partition))


def answer(query: RequestQuery, found: Look, stored_through: int) -> Reply[RequestStatus]:
    """What can be said after a look, when at the asking the partition was stored up to `stored_through`."""
    if found.status is not None:
        return StatusReply(ok=found.status)
    if found.checkpoint < stored_through:
        return StatusReply(error=_BEHIND)
    message = f"no request {query.request_id} of this app was stored"
    return StatusReply(error=RpcError(code="not_found", message=message))


async def _respond(message: Msg, reply: Reply[RequestStatus]) -> None:
    await quietly(message.respond(reply.model_dump_json().encode()))
