"""Which parked rows are to be tried again now, in the order of the stream."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from psycopg import AsyncConnection

from wepeople_projections.folding.memory import Place
from wepeople_projections.running.job import Job
from wepeople_projections.running.statements import statements

ROWS_AT_ONCE = 1_000
"""So many are looked up at once."""
GROUP_ROWS = 200
GROUP_BYTES = 1024 * 1024
"""So much of messages is decoded for one group."""

Worker = tuple[str, str]
"""An org and one of its workers; "" for the org as a whole."""


class Due(NamedTuple):
    """A row to try again. `behind`: whose later rows go after it, where order is asked for. `size` is its message's."""

    place: Place
    behind: Worker | None
    size: int


async def find_dues(connection: AsyncConnection[Any], job: Job, partition: int) -> Sequence[Due]:
    """The first rows that may be applied now, as far as the rows before them can be."""
    sql = statements(job.schema)
    name = "loose_retries" if job.definition.ordered else "retries"
    cursor = await connection.execute(sql[name], [partition, ROWS_AT_ONCE])
    loose = [Due((sequence, index), None, size) for _, sequence, index, size in await cursor.fetchall()]
    if not job.definition.ordered:
        return loose
    return sorted(loose + await _followers(connection, sql, partition), key=lambda due: due.place)[:ROWS_AT_ONCE]


async def _followers(connection: AsyncConnection[Any], sql: dict[str, str], partition: int) -> list[Due]:
    """Rows of workers whose first is to be tried, up to the next that is not; none behind a whole message."""
    heads = await (await connection.execute(sql["heads"], [partition])).fetchall()
    whole = {org_id: (sequence, index) for org_id, worker_id, sequence, index, _ in heads if not worker_id}

    def waits(worker: Worker, place: Place) -> bool:
        org_id, worker_id = worker
        return bool(worker_id) and org_id in whole and whole[org_id] < place

    first = [
        (org, worker)
        for org, worker, at, index, status in heads
        if status in ("retry", "waiting") and not waits((org, worker), (at, index))
    ]
    asked = [[org for org, _ in first], [worker for _, worker in first], ROWS_AT_ONCE]
    dues, closed = list[Due](), set[Worker]()
    for org, worker, sequence, index, status, size in await (
        await connection.execute(sql["followers"], asked)
    ).fetchall():
        key, place = (org, worker), (sequence, index)
        if status == "parked" or waits(key, place):
            closed.add(key)
        if key not in closed:
            dues.append(Due(place, key, size))
    return dues


def grouped(dues: Sequence[Due]) -> Iterator[list[Due]]:
    """Parts that are tried together: few enough messages, and few enough rows."""
    group: list[Due] = []
    size = 0
    for due in dues:
        is_new = not group or group[-1].place[0] != due.place[0]
        if group and (len(group) >= GROUP_ROWS or (is_new and size + due.size > GROUP_BYTES)):
            yield group
            group, size, is_new = [], 0, True
        size += due.size if is_new else 0
        group.append(due)
    if group:
        yield group
