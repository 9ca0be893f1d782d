"""Lets the services read on in streams that were brought back from copies, where they are those that they have read.

A stream that is restored has another identity, the moment of its making, and no reader goes on in it by itself. Whether
it holds what was applied is to be seen: at each checkpoint's place there must be the message that was applied last, and
from there to the checkpoint no other of its partition, such as one that came in behind an older copy.
"""

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from nats.aio.client import Client
from psycopg import AsyncConnection, sql
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow

from wepeople_chassis.stream import StreamError, StreamState, sequence_since, takers
from wepeople_contracts.envelope import MSG_ID_HEADER
from wepeople_contracts.subjects import partition_filter
from wepeople_provision.database import database_at
from wepeople_provision.errors import ProvisionError
from wepeople_provision.stream_api import Refused, ask

QUOTA = "quota"
_COUNTED = "SELECT partition, sequence, message_id, stored_at_ns FROM quota.partitions"
_PROJECTIONS = """
SELECT n.nspname, pg_get_userbyid(c.relowner) FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'stream_identity'
WHERE c.relname = 'checkpoint' AND c.relkind = 'r'
ORDER BY 1
"""


@dataclass(frozen=True, slots=True)
class Applied:
    """How far a partition was read: all up to `sequence`, and last the message at `message_sequence` (0: none yet)."""

    partition: int
    sequence: int
    message_sequence: int
    message_id: str


async def adopt(connection: Client, admin_dsn: str, passwords: Mapping[str, str]) -> list[str]:
    """Give every checkpoint the present identity of the stream that takes its partition, where all of a reader's fit;
    what was done, and what is left to do, in words.

    Quota begins to count anew when its checkpoints do not fit, which takes as long as reading the streams. Each table
    is written by its owner's login: what an owner put behind its table, a superuser would run as one.
    """
    try:
        streams = await takers(connection)
    except (StreamError, TimeoutError) as error:
        raise ProvisionError(f"There is nothing to read on in: {error}.") from error
    async with database_at(admin_dsn) as database:
        projections = await (await database.execute(_PROJECTIONS)).fetchall()
    logins = {role: make_conninfo(admin_dsn, user=role, password=password) for role, password in passwords.items()}
    async with database_at(logins["wepeople_quota"]) as own:
        done = [await _adopt_quota(connection, own, streams)]
    for schema, owner in projections:
        if owner not in logins:
            done.append(f"{schema}: is {owner}'s, whose password is not among the roles'; it is left as it is")
            continue
        async with database_at(logins[owner]) as own:
            done.append(await _adopt_projection(connection, own, schema, streams))
    return done


async def _adopt_quota(connection: Client, database: AsyncConnection, streams: Mapping[int, StreamState]) -> str:
    found = await database.execute(_COUNTED)
    counted = [await _applied(connection, line, streams) for line in await found.fetchall()]
    if await _fit(connection, counted, streams):
        for partition, stream in streams.items():
            statement = "UPDATE quota.partitions SET identity = %s WHERE partition = %s"
            await database.execute(statement, [stream.identity, partition])
        return f"{QUOTA}: counts on"
    # Row policies let quota delete no usage; all of it at once its owner may.
    await database.execute("TRUNCATE quota.partitions, quota.org_usage, quota.org_charged_ids")
    return f"{QUOTA}: the streams are not those that it has counted; it counts again from the beginning"


async def _applied(connection: Client, line: TupleRow, streams: Mapping[int, StreamState]) -> Applied:
    """Of an idle partition, quota knows the time at which the last message was stored that it counted of any, and not
    which was its own: what the stream had of it until then is taken for applied.
    """
    partition, sequence, message_id, stored_at_ns = line
    if message_id:
        return Applied(partition, sequence, sequence, message_id)
    later = await sequence_since(connection, streams[partition].name, stored_at_ns + 1)
    return Applied(partition, sequence, later - 1, "")


async def _adopt_projection(
    connection: Client, database: AsyncConnection, schema: str, streams: Mapping[int, StreamState]
) -> str:
    table = sql.Identifier(schema, "checkpoint")
    select = sql.SQL("SELECT partition, sequence, message_sequence, message_id FROM {}").format(table)
    found = await database.execute(select)
    if await _fit(connection, [Applied(*line) for line in await found.fetchall()], streams):
        update = sql.SQL("UPDATE {} SET stream_identity = %s WHERE partition = %s").format(table)
        for partition, stream in streams.items():
            await database.execute(update, [stream.identity, partition])
        return f"{schema}: goes on"
    name = schema.rpartition("_v")[0]
    return f"{schema}: holds what is not in the streams; build it anew: wepeople projection rebuild {name}"


async def _fit(connection: Client, checkpoints: Iterable[Applied], streams: Mapping[int, StreamState]) -> bool:
    for applied in checkpoints:
        stream = streams[applied.partition]
        if applied.sequence > stream.last_sequence:
            return False
        at = applied.message_sequence
        if applied.message_id and await _message_id(connection, stream.name, at) != applied.message_id:
            return False
        following = await _following(connection, stream.name, applied.partition, at)
        if following is not None and following <= applied.sequence:
            return False
    return True


async def _following(connection: Client, stream: str, partition: int, after: int) -> int | None:
    """The sequence of a partition's next message; None when there is none."""
    wanted = {"seq": after + 1, "next_by_subj": partition_filter(partition)}
    try:
        sequence: int = (await ask(connection, "STREAM.MSG.GET", stream, wanted))["message"]["seq"]
    except Refused:
        return None
    return sequence


async def _message_id(connection: Client, stream: str, sequence: int) -> str | None:
    """The id of the message at a sequence; None when there is none."""
    try:
        found = await ask(connection, "STREAM.MSG.GET", stream, {"seq": sequence})
    except Refused:
        return None
    return header_of(found["message"].get("hdrs", ""), MSG_ID_HEADER)


def header_of(encoded: str, name: str) -> str | None:
    """One header of a stored message, as JetStream's API gives them: base64 of lines `Name: value`."""
    lines = base64.b64decode(encoded).decode().split("\r\n")
    return next((line.removeprefix(f"{name}: ") for line in lines if line.startswith(f"{name}: ")), None)
