"""Applies parked rows, many at once as long as Postgres takes them: a refusal halves them, down to the row at fault."""

import time
from collections.abc import Sequence
from typing import Any

from psycopg import AsyncConnection

from wepeople_chassis.logging import get_logger
from wepeople_chassis.stream import StoredMessage
from wepeople_projections.folding.fold import Fold
from wepeople_projections.folding.memory import Memory, Place
from wepeople_projections.folding.parked import Parked
from wepeople_projections.running.dues import Due, Worker
from wepeople_projections.running.job import Job
from wepeople_projections.running.poison import begin_fold, write_or_refuse
from wepeople_projections.running.statements import statements

log = get_logger(__name__)


class Retrying:
    """Of one partition, within one transaction. After `until` nothing more is tried, but something always was."""

    def __init__(
        self, connection: AsyncConnection[Any], job: Job, partition: int, memory: Memory, until: float
    ) -> None:
        self._connection = connection
        self._job = job
        self._partition = partition
        self._sql = statements(job.schema)
        self._memory = memory
        self._until = until
        self._is_begun = False
        self._failed: set[Worker] = set()

    async def retry(self, group: Sequence[Due]) -> None:
        """Try rows in the order of the stream; of each worker, where order is asked for, up to the first that cannot be
        applied.
        """
        dues = [due for due in group if due.behind not in self._failed]
        if not dues or (self._is_begun and time.monotonic() > self._until):
            return
        memory = Memory(dict(self._memory.salts), dict(self._memory.blocked))
        fold = await begin_fold(self._connection, self._job, memory, await self._messages(dues))
        again, untried = _fold_dues(fold, memory, dues)
        refusal = await write_or_refuse(self._connection, self._job.schema, fold.changes)
        if refusal is not None and len(dues) > 1:
            half = len(dues) // 2
            await self.retry(dues[:half])
            await self.retry(dues[half:])
            return
        self._is_begun = True
        if refusal is not None:
            await self._again(dues[0], f"Postgres refused it: {refusal}")
            return
        self._memory = Memory(memory.salts, memory.blocked)
        await self._applied([due.place for due in dues if due.place not in again.keys() | untried])
        for due in dues:
            parked = again.get(due.place)
            if parked is not None and parked.waits:
                self._give_up(due)
                await self._connection.execute(self._sql["wait_for"], [parked.worker_id, self._partition, *due.place])
            elif parked is not None:
                await self._again(due, parked.reason)

    async def _messages(self, dues: Sequence[Due]) -> list[StoredMessage]:
        sequences = list({due.place[0] for due in dues})
        cursor = await self._connection.execute(self._sql["parked_messages"], [self._partition, sequences])
        return [
            StoredMessage(at, subject, message_id, int(stored_at_seconds * 1_000_000) * 1000, data)
            for at, subject, message_id, stored_at_seconds, data in await cursor.fetchall()
        ]

    async def _applied(self, places: Sequence[Place]) -> None:
        for sequence, row in places:
            log.info("parked_applied", schema=self._job.schema, sequence=sequence, row=row)
        if places:
            asked = [[sequence for sequence, _ in places], [row for _, row in places], self._partition]
            await self._connection.execute(self._sql["resolve"], asked)

    async def _again(self, due: Due, reason: str) -> None:
        sequence, row = due.place
        log.warning("parked_again", schema=self._job.schema, sequence=sequence, row=row, reason=reason)
        self._give_up(due)
        await self._connection.execute(self._sql["park_again"], [reason, self._partition, sequence, row])

    def _give_up(self, due: Due) -> None:
        if due.behind is not None:
            self._failed.add(due.behind)


def _fold_dues(fold: Fold, memory: Memory, dues: Sequence[Due]) -> tuple[dict[Place, Parked], set[Place]]:
    """Fold the rows; those that were parked again, which the changes are rid of, and those that were not tried because
    one before them was.
    """
    again, untried, failed = dict[Place, Parked](), set[Place](), set[Worker]()
    of_message: dict[int, dict[int, Due]] = {}
    for due in dues:
        of_message.setdefault(due.place[0], {})[due.place[1]] = due
    for message in fold.messages:
        wanted = of_message[message.message.sequence]
        for index, take in fold.retries(message, wanted):
            due = wanted[index]
            if due.behind in failed:
                untried.add(due.place)
                continue
            if due.behind is not None and due.behind in memory.blocked:
                # It is the first of its worker now, so it waits for none.
                memory.blocked[due.behind] = due.place
            before = len(fold.changes.parked)
            take()
            parked = fold.changes.parked[before:]
            found = next((row for row in parked if row.row_index == index), None)
            if found is not None:
                fold.changes.parked.remove(found)
                again[due.place] = found
                if due.behind is not None:
                    failed.add(due.behind)
    return again, untried
