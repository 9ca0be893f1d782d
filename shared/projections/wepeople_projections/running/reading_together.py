"""One reading of a stream for many of its partitions, from where most of them stand to the stream's end.

Nobody has to take part: who stands before the others, or takes nothing for long, is left to read alone.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress

from nats.aio.client import Client

from wepeople_chassis.logging import get_logger
from wepeople_chassis.reader import StreamReader
from wepeople_chassis.stream import Batch, StoredMessage, StreamMoved, StreamState, state_of
from wepeople_chassis.tasks import end
from wepeople_contracts.subjects import STREAM_SUBJECTS, partition_filter, partition_token
from wepeople_projections.folding.position import Position
from wepeople_projections.replay.backlog import Stretch, count_messages
from wepeople_projections.running.pace import Pace

log = get_logger(__name__)

FEWEST = 2
PART_OF_ALL = 2
"""One in so many of the stream's partitions takes part at least: else most of what is read would be others'."""
BEHIND = 4
"""One in so many may stand behind the place where the reading begins."""
WAITING_BYTES = 8 * 1024 * 1024
"""So much is read ahead for all of them together, and one pull more."""
PULL_BYTES = 4 * 1024 * 1024
STALL_SECONDS = 5.0
"""So long they wait while none of them takes anything, unless all of them give way to the live read models."""
LOOK_SECONDS = 1.0
"""A partition without messages hears at least so often how far the reading is."""


class Member:
    """A partition that takes part. Everything of it up to `through` was taken, or waits here: `size` bytes; `left`
    messages are left in the stream, not counting those that came since it was begun.
    """

    def __init__(self, partition: int, position: Position, together: "ReadingTogether") -> None:
        self.partition = partition
        self.through = position.sequence
        self.identity = position.stream_identity
        self.size = 0
        self.left = 0
        self._together = together
        self._messages: list[StoredMessage] = []
        self._taken_through = self.through
        self._wake = asyncio.Event()
        self._is_over = False

    def give(self, messages: list[StoredMessage], batch: Batch) -> None:
        """Add those of a batch's messages that are the partition's."""
        new = [message for message in messages if message.sequence > self.through]
        self._messages += new
        self.size += sum(len(message.data) for message in new)
        self.left = min(max(self.left - len(new), 0), batch.pending)
        self.through = max(self.through, batch.through)
        if new or not batch.messages:
            self._wake.set()

    def dismiss(self, *, empty_handed: bool = False) -> None:
        """Nothing more comes; `empty_handed` takes back what was not taken."""
        if empty_handed:
            self._messages, self.size, self.through = [], 0, self._taken_through
        self._is_over = True
        self._wake.set()

    async def take(self) -> Batch | None:
        """What there is, after a moment nothing; None once the partition has to go on alone after `through`."""
        if not self._messages and not self._is_over:
            self._wake.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._wake.wait()
        if self._is_over and not self._messages:
            return None
        batch = Batch(self._messages, self.through, self.left)
        self._messages, self.size, self._taken_through = [], 0, self.through
        self._together.taken.set()
        return batch

    async def leave(self) -> None:
        """Take no more part."""
        await self._together.without(self)


class ReadingTogether:
    """Begins once those who are about to read are `gathered`; it is open to more until then. `taken` is set whenever
    somebody has taken something.
    """

    def __init__(self, connection: Client, stream: str, gathered: Callable[[], Awaitable[None]], pace: Pace) -> None:
        self.is_open = True
        self.taken = asyncio.Event()
        self._connection = connection
        self._stream = stream
        self._gathered = gathered
        self._pace = pace
        self._members: dict[str, Member] = {}
        self._task = asyncio.create_task(self._run())
        self._task.add_done_callback(self._over)

    def join(self, partition: int, position: Position) -> Member:
        """Take part, while it is open."""
        member = Member(partition, position, self)
        self._members[partition_token(partition_filter(partition))] = member
        return member

    async def without(self, member: Member) -> None:
        """Go on without somebody; the last one out ends it."""
        self._members = {token: other for token, other in self._members.items() if other is not member}
        self.taken.set()
        if not self._members:
            self.is_open = False
            await end([self._task])

    def _over(self, task: asyncio.Task[None]) -> None:
        """At the end, or where it cannot go on: who reads on alone meets the reason, if there is one."""
        self.is_open = False
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("reading_together_ended", error=repr(error))
        for member in self._members.values():
            member.dismiss()

    async def _run(self) -> None:
        await self._gathered()
        self.is_open = False
        state = await state_of(self._connection, self._stream)
        if len(self._members) < max(FEWEST, len(state.partitions) // PART_OF_ALL):
            return
        identity, after = self._begin(state)
        partitions = frozenset(member.partition for member in self._members.values())
        reader = StreamReader(
            self._connection,
            stream=self._stream,
            filter_subject=STREAM_SUBJECTS,
            partitions=partitions,
            after=after,
            identity=identity,
            pull_bytes=PULL_BYTES,
        )
        await self._count()
        async with aclosing(reader.batches()) as batches:
            async for batch in batches:
                if batch.through > state.last_sequence:
                    # What came after a partition has left is numbered by others: whoever is left is told nothing of it.
                    state = await state_of(self._connection, self._stream)
                    if left := partitions - state.partitions:
                        raise StreamMoved(self._stream, left)
                self._hand_out(batch)
                if batch.pending == 0:
                    return
                await self._make_room()

    def _begin(self, state: StreamState) -> tuple[str, int]:
        """The stream's identity and the sequence after which to begin; whoever does not fit goes alone."""
        members = sorted(self._members.values(), key=lambda member: member.through)
        first = members[len(members) // BEHIND]
        for member in members:
            fits = member.partition in state.partitions and member.identity == first.identity
            if member.through < first.through or not fits:
                self._send_away(member)
        return first.identity, first.through

    async def _count(self) -> None:
        """What is left of each partition: the server counts for the reader only all of them together."""
        members = {member.partition: member for member in self._members.values()}
        asked = [Stretch(n, partition_filter(n), member.through, None) for n, member in members.items()]
        for partition, left in (await count_messages(self._connection, asked)).items():
            members[partition].left = left

    def _hand_out(self, batch: Batch) -> None:
        of_each = defaultdict[str, list[StoredMessage]](list)
        for message in batch.messages:
            of_each[partition_token(message.subject)].append(message)
        for token, member in self._members.items():
            member.give(of_each.get(token, []), batch)

    async def _make_room(self) -> None:
        """Wait until there is room to read on; if nobody takes anything, whoever has the most waiting is sent away."""
        while self._members and sum(member.size for member in self._members.values()) > WAITING_BYTES:
            self.taken.clear()
            try:
                async with asyncio.timeout(STALL_SECONDS):
                    await self.taken.wait()
            except TimeoutError:
                if not self._pace.busy:
                    self._send_away(max(self._members.values(), key=lambda member: member.size))

    def _send_away(self, member: Member) -> None:
        del self._members[partition_token(partition_filter(member.partition))]
        member.dismiss(empty_handed=True)
