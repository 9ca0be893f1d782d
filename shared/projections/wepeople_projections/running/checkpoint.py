"""How far a partition has been applied.

The transaction that writes rows moves the checkpoint by compare-and-set, as its first statement, so that a crash
repeats nothing and a second writer is fenced.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from nats.aio.client import Client
from nats.js.errors import NotFoundError
from psycopg import AsyncConnection

from wepeople_chassis.stream import StreamError, StreamState, state_of
from wepeople_contracts.envelope import MSG_ID_HEADER
from wepeople_projections.folding.position import Fenced, Position
from wepeople_projections.running.statements import statements

_API_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One partition's line in one table. `table` is the table's own number: in a schema that took the place of another
    of the same name it is another, and its lines are not this checkpoint, wherever they stand.
    """

    schema: str
    partition: int
    table: int

    async def advance(
        self, connection: AsyncConnection[Any], start: Position, end: Position, rows: int, *, orgs: Collection[str]
    ) -> None:
        """Move it in the caller's transaction, and note in the journal of commits whose messages came with it.

        `Fenced` unless it still is where the caller started.
        """
        sql = statements(self.schema)
        moved = [end.sequence, end.message_sequence, end.message_id, rows]
        found = [self.partition, self.table, start.stream_identity, start.sequence]
        cursor = await connection.execute(sql["advance"], moved + found)
        if cursor.rowcount != 1:
            raise Fenced(self.partition, start.sequence)
        if orgs:
            await connection.execute(sql["commit"], [self.partition, end.sequence, sorted(orgs)])


async def load(
    connection: AsyncConnection[Any], schema: str, partition: int, stream_identity: str, after: int = 0
) -> tuple[Checkpoint, Position]:
    """The stored position; at the very first start, `after` in this stream."""
    sql = statements(schema)
    await connection.execute(sql["begin"], [partition, stream_identity, after])
    cursor = await connection.execute(sql["load"], [partition])
    row = await cursor.fetchone()
    assert row is not None, "begin has made it"
    table, *position = row
    return Checkpoint(schema, partition, table), Position(*position)


async def positions(connection: AsyncConnection[Any], schema: str) -> dict[int, int]:
    """The sequence of every partition that has begun."""
    cursor = await connection.execute(statements(schema)["positions"])
    return dict(await cursor.fetchall())


async def verify(connection: Client, schema: str, position: Position, stream: StreamState) -> None:
    """Check that the last applied message is still where it was; `StreamError` saying what to do when it is not.

    What was trimmed since cannot be checked any more. The stream's identity and ends are checked by the reader.
    """
    if position.message_sequence < max(stream.first_sequence, 1):
        return
    stored = await _message_id_at(connection, stream.name, position.message_sequence)
    if stored != position.message_id:
        raise StreamError(
            f"the stream {stream.name} holds {stored or 'nothing'!r} at {position.message_sequence}, where "
            f"{position.message_id!r} was applied to {schema}: it is not the stream that its tables were made from. "
            "Restore that stream from its backup, or rebuild the projection from this one"
        )


async def last_of(connection: Client, stream_name: str, filter_subject: str) -> int:
    """The sequence of the last message of a filter in the stream that takes it; 0 when there is none.

    When all were trimmed, or there was none, it is that of the last message that was trimmed at all.
    """
    try:
        last = await connection.jetstream(timeout=_API_SECONDS).get_last_msg(stream_name, filter_subject)
    except NotFoundError:
        return max((await state_of(connection, stream_name)).first_sequence - 1, 0)
    return last.seq or 0


async def _message_id_at(connection: Client, stream_name: str, sequence: int) -> str | None:
    """The message id stored at a sequence, read from the stream's leader; None when there is no message."""
    try:
        message = await connection.jetstream(timeout=_API_SECONDS).get_msg(stream_name, sequence)
    except NotFoundError:
        return None
    message_id: str = (message.headers or {}).get(MSG_ID_HEADER, "")
    return message_id
