"""How a process becomes the owner of a stream's partitions, and how it hands over.

What a fail-over may admit too much. Rates: at most one window more per key and org, as the new owner's windows are
empty. The month: at most what was in flight and took longer to be stored than the silence between two owners, three
seconds after a kill, as the new owner first folds to the stream's end as it was after it took the lease; an owner that
stops in order waits for what is in flight, so then only what took longer than `SETTLE_SECONDS`. The new owner does not
wait for more than that, although gateways publish for up to five seconds: while nobody answers they admit by themselves
and ask nobody about the month.

A split of the stream admits nothing too much: its owner answers on for all its partitions with the same ledgers, first
under the old lease, then under both.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import NoRespondersError

from wepeople_chassis.broker import BROKER_DOWN
from wepeople_chassis.logging import get_logger
from wepeople_chassis.stream import StreamState
from wepeople_chassis.tasks import end
from wepeople_contracts.subjects import leaving_subject
from wepeople_quota.fold import Fold
from wepeople_quota.lease import Lease
from wepeople_quota.serve import KEPT_SECONDS, Desk

log = get_logger(__name__)

SETTLE_SECONDS = 0.3
"""How long an owner that hands over waits for the requests in flight; less than a kept request's time."""

_POLL_SECONDS = 0.01
_RETRY_SECONDS = 0.1
_PREPARE_SECONDS = 0.5
_LAST_ANSWERS_SECONDS = 0.02


class Ownership:
    """One process's life as a standby and an owner of one stream, in turns. `desks` are those of all partitions; `look`
    says how the stream is now.
    """

    def __init__(
        self,
        connection: Client,
        stream: str,
        *,
        lease: Lease,
        fold: Fold,
        desks: Mapping[int, Desk],
        look: Callable[[], Awaitable[StreamState]],
    ) -> None:
        self._connection = connection
        self._stream = stream
        self._lease = lease
        self._fold = fold
        self._all_desks = desks
        self._look = look
        self._keeping: asyncio.Task[None] | None = None
        self._waiting: asyncio.Task[None] | None = None
        self._handing_over = asyncio.Lock()
        self._listening = frozenset[int]()
        self._is_leaving = False

    async def live(self) -> None:
        """Stand by until the lease is vacant, take it, fold to the stream's end, answer until it is lost or handed
        over; until this process leaves.
        """
        await self._connection.subscribe(leaving_subject(self._stream), cb=self._on_leaving)
        while not self._is_leaving:
            epoch = await self._lease.take()
            self._keeping = asyncio.create_task(self._lease.keep())
            try:
                await self._answer(epoch)
                await asyncio.wait((self._keeping,))
                async with self._handing_over:
                    pass
                log.info("no_longer_owner", stream=self._stream, epoch=epoch)
            finally:
                await end([self._keeping])
                await self._close()

    async def hand_over(self, heir: str = "") -> bool:
        """Stop answering and let the next one begin at once, with nothing in flight if that is soon the case. Whether
        it was done: for good, or to the process called `heir`, and then only if that one is there and ready.
        """
        async with self._handing_over:
            if self._lease.epoch() is None or self._keeping is None:
                return False
            desks, answered = self._answering(), list[str]()
            for desk in desks:
                desk.note_answers(answered)
            is_prepared = await self._prepare(heir)
            if heir and not (is_prepared and desks):
                for desk in desks:
                    desk.note_answers(None)
                return False
            self._is_leaving = self._is_leaving or not heir
            await asyncio.gather(*(desk.close() for desk in desks))
            try:
                await self._connection.publish(leaving_subject(self._stream), "\n".join(answered).encode())
                await self._settle()
            finally:
                await end([self._keeping])
                await self._lease.give_back(heir)
            return True

    def answers_for(self) -> frozenset[int]:
        """The stream's partitions, and those that left it for which this process answers still."""
        return self._fold.partitions.union(desk.partition for desk in self._answering())

    async def _answer(self, epoch: int) -> None:
        await self._listen()
        state = await self._state()
        # If it was split before this process had the lease, what left it may be somebody else's by now.
        self._fold.settle(state)
        await self._fold.reach(state.last_sequence)
        for partition in self._listening:
            # Looked up one by one: a desk that opens answers what it kept, and the stream may be split meanwhile.
            if partition in self._fold.partitions:
                await self._all_desks[partition].open(self._lease)
            else:
                await self._let_go(partition)
        log.info("owner", stream=self._stream, epoch=epoch, sequence=self._fold.through)
        self._lease.somebody_answers.set()

    def _answering(self) -> list[Desk]:
        return [desk for desk in self._all_desks.values() if desk.lease is self._lease]

    async def _prepare(self, heir: str) -> bool:
        """Whether a standby, or the heir, listens too from now on."""
        try:
            await self._connection.request(leaving_subject(self._stream), heir.encode(), timeout=_PREPARE_SECONDS)
        except (NoRespondersError, TimeoutError):
            return False
        # What was sent before the standby listened is here by now, and still ours to answer.
        await asyncio.sleep(_LAST_ANSWERS_SECONDS)
        return True

    async def _settle(self) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + SETTLE_SECONDS
        ledgers = self._fold.ledgers.values()
        while any(ledger.has_reservations for ledger in ledgers) and loop.time() < deadline:  # noqa: ASYNC110 - no event
            await asyncio.sleep(_POLL_SECONDS)

    async def _on_leaving(self, leaving: Msg) -> None:
        """Hear what the owner that leaves will not answer any more, then which of it was answered after all."""
        if self._lease.epoch() is not None:
            return
        if not leaving.reply:
            answered = frozenset(leaving.data.decode().split("\n"))
            for partition in self._listening:
                self._all_desks[partition].forget(answered)
            return
        if leaving.data.decode() not in ("", self._lease.owner):
            return
        await self._listen()
        await self._connection.flush()
        await leaving.respond(b"")
        self._lease.hurry()
        self._waiting = asyncio.create_task(self._wait_for_the_lease())

    async def _wait_for_the_lease(self) -> None:
        await asyncio.sleep(KEPT_SECONDS)
        if self._lease.epoch() is None:
            await self._close()

    async def _listen(self) -> None:
        self._listening = self._fold.partitions
        for partition in self._listening:
            await self._all_desks[partition].listen()

    async def _close(self) -> None:
        for partition in self._listening:
            await self._let_go(partition)

    async def _let_go(self, partition: int) -> None:
        """Close a desk, unless it answers under the lease of the stream that its partition went to."""
        desk = self._all_desks[partition]
        if desk.lease in (None, self._lease):
            await desk.close()

    async def _state(self) -> StreamState:
        while True:
            try:
                return await self._look()
            except BROKER_DOWN as error:
                log.warning("waiting", error=repr(error))
                await asyncio.sleep(_RETRY_SECONDS)
