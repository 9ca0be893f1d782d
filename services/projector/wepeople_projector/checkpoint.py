"""How far a partition has been applied, and the proof that the stream is still the one it was applied from.

The transaction that writes rows moves the checkpoint by compare-and-set, so that a crash repeats nothing and a second
writer is fenced (design §2.4).
"""

from dataclasses import dataclass, replace
from typing import Any

from nats.aio.client import Client
from nats.js.errors import NotFoundError
from psycopg import AsyncConnection

from wepeople_chassis.postgres import named_queries
from wepeople_chassis.stream import StoredMessage, StreamError, StreamState
from wepeople_contracts.envelope import MSG_ID_HEADER
from wepeople_contracts.subjects import STREAM, partition_of

_SQL = named_queries(__package__, "checkpoint.sql")
_API_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Position:
    """Nothing up to and including `sequence` is missing; the last message applied was `message_id` at
    `message_sequence` (0: none yet).
    """

    stream_identity: str
    sequence: int = 0
    message_sequence: int = 0
    message_id: str = ""

    def after(self, message: StoredMessage) -> "Position":
        """The position once a message is applied."""
        return replace(
            self, sequence=message.sequence, message_sequence=message.sequence, message_id=message.message_id
        )


class Fenced(Exception):
    """Somebody else moved the partition's checkpoint: what is in memory is no longer true."""

    def __init__(self, partition: int, expected: int) -> None:
        super().__init__(f"the checkpoint of partition {partition} is no longer at {expected}")
        self.partition = partition
        self.expected = expected


async def load(connection: AsyncConnection[Any], partition: int, stream_identity: str) -> Position:
    """The stored position; at the very first start, the beginning of this stream."""
    await connection.execute(_SQL["begin"], [partition, stream_identity])
    cursor = await connection.execute(_SQL["load"], [partition])
    row = await cursor.fetchone()
    assert row is not None, "begin has made it"
    return Position(*row)


async def load_salts(connection: AsyncConnection[Any], partition: int) -> dict[str, bytes]:
    """The salt of every org of the partition that was founded so far."""
    cursor = await connection.execute(_SQL["salts"])
    return {org_id: salt for org_id, salt in await cursor.fetchall() if partition_of(org_id) == partition}


async def advance(connection: AsyncConnection[Any], partition: int, start: Position, end: Position) -> None:
    """Move the checkpoint in the caller's transaction; `Fenced` unless it still is where the caller started."""
    cursor = await connection.execute(
        _SQL["advance"],
        [end.sequence, end.message_sequence, end.message_id, partition, start.stream_identity, start.sequence],
    )
    if cursor.rowcount != 1:
        raise Fenced(partition, start.sequence)


async def verify(connection: Client, position: Position, stream: StreamState) -> None:
    """Check that the last applied message is still where it was; `StreamError` saying what to do when it is not.

    What was trimmed since cannot be checked any more. The stream's identity and ends are checked by the reader.
    """
    if position.message_sequence < max(stream.first_sequence, 1):
        return
    stored = await _message_id_at(connection, position.message_sequence)
    if stored != position.message_id:
        raise StreamError(
            f"the stream {STREAM} holds {stored or 'nothing'!r} at {position.message_sequence}, where "
            f"{position.message_id!r} was applied: it is not the stream that the read models were made from. Restore "
            "that stream from its backup, or empty the tables of the schema live_v1 to rebuild them from this one"
        )


async def _message_id_at(connection: Client, sequence: int) -> str | None:
    """The message id stored at a sequence, read from the stream's leader; None when there is no message."""
    try:
        message = await connection.jetstream(timeout=_API_SECONDS).get_msg(STREAM, sequence)
    except NotFoundError:
        return None
    message_id: str = (message.headers or {}).get(MSG_ID_HEADER, "")
    return message_id
