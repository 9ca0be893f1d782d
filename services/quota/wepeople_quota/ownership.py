"""How a process becomes the owner, and how it hands over.

What a fail-over may admit too much. Rates: at most one window more per key and org, as the new owner's windows are
empty. The month: at most what was in flight and took longer to be stored than the silence between two owners, three
seconds after a kill, as the new owner first folds to the stream's end as it was after it took the lease; an owner that
stops in order waits for what is in flight, so then only what took longer than `SETTLE_SECONDS`. The new owner does not
wait for more than that, although gateways publish for up to five seconds: while nobody answers they admit by themselves
and ask nobody about the month.
"""

import asyncio
from contextlib import suppress

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import NoRespondersError

from wepeople_chassis.broker import BROKER_DOWN
from wepeople_chassis.logging import get_logger
from wepeople_chassis.stream import state_of
from wepeople_chassis.tasks import end
from wepeople_contracts.subjects import STREAMS, leaving_subject
from wepeople_quota.fold import Fold
from wepeople_quota.lease import Lease
from wepeople_quota.ledger import Ledger
from wepeople_quota.serve import KEPT_SECONDS, Desk

log = get_logger(__name__)

SETTLE_SECONDS = 0.3
"""How long an owner that stops waits for the requests in flight; less than a kept request's time."""

_LEAVING = leaving_subject(STREAMS[0])
_POLL_SECONDS = 0.01
_RETRY_SECONDS = 0.1
_PREPARE_SECONDS = 0.5
_LAST_ANSWERS_SECONDS = 0.02


class Ownership:
    """One process's life as a standby and an owner, in turns."""

    def __init__(self, connection: Client, lease: Lease, fold: Fold, ledger: Ledger, desk: Desk) -> None:
        self._connection = connection
        self._lease = lease
        self._fold = fold
        self._ledger = ledger
        self._desk = desk
        self._keeping: asyncio.Task[None] | None = None
        self._waiting: asyncio.Task[None] | None = None

    async def live(self) -> None:
        """Stand by until the lease is vacant, take it, fold to the stream's end, answer until it is lost; for ever."""
        await self._connection.subscribe(_LEAVING, cb=self._on_leaving)
        while True:
            epoch = await self._lease.take()
            self._keeping = asyncio.create_task(self._lease.keep())
            try:
                await self._desk.listen()
                await self._fold.reach(await self._end_of_stream())
                log.info("owner", epoch=epoch, sequence=self._ledger.position.sequence)
                await self._desk.open()
                self._lease.somebody_answers.set()
                await self._keeping
                log.warning("lease_lost", epoch=epoch)
            finally:
                await end([self._keeping])
                await self._desk.close()

    async def hand_over(self) -> None:
        """Stop answering and let the next one begin at once, with nothing in flight if that is soon the case."""
        answered = self._desk.note_answers()
        with suppress(NoRespondersError, TimeoutError):
            await self._connection.request(_LEAVING, b"", timeout=_PREPARE_SECONDS)
            # What was sent before the standby listened is here by now, and still ours to answer.
            await asyncio.sleep(_LAST_ANSWERS_SECONDS)
        await self._desk.close()
        await self._connection.publish(_LEAVING, "\n".join(answered).encode())
        loop = asyncio.get_running_loop()
        deadline = loop.time() + SETTLE_SECONDS
        while self._ledger.has_reservations and loop.time() < deadline:  # noqa: ASYNC110 - arithmetic announces nothing
            await asyncio.sleep(_POLL_SECONDS)
        if self._keeping is not None:
            await end([self._keeping])
        await self._lease.give_back()

    async def _on_leaving(self, leaving: Msg) -> None:
        """Hear what the owner that leaves will not answer any more, then which of it was answered after all."""
        if self._lease.epoch() is not None:
            return
        if not leaving.reply:
            self._desk.forget(frozenset(leaving.data.decode().split("\n")))
            return
        await self._desk.listen()
        await self._connection.flush()
        await leaving.respond(b"")
        self._lease.hurry()
        self._waiting = asyncio.create_task(self._wait_for_the_lease())

    async def _wait_for_the_lease(self) -> None:
        await asyncio.sleep(KEPT_SECONDS)
        if self._lease.epoch() is None:
            await self._desk.close()

    async def _end_of_stream(self) -> int:
        while True:
            try:
                return (await state_of(self._connection, STREAMS[0])).last_sequence
            except BROKER_DOWN as error:
                log.warning("waiting", error=repr(error))
                await asyncio.sleep(_RETRY_SECONDS)
