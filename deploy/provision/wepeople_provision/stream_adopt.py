"""Lets the services read on in a stream that was brought back from a copy, where it is the one they have read.

A stream that is restored has another identity, the moment of its making, and no reader goes on in it by itself. Whether
it holds what was applied is to be seen: at each checkpoint's place there must be the message that was applied last.
"""

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from nats.aio.client import Client
from psycopg import AsyncConnection, sql
from psycopg.conninfo import make_conninfo

from wepeople_contracts.envelope import MSG_ID_HEADER
from wepeople_contracts.subjects import STREAMS
from wepeople_provision.database import database_at
from wepeople_provision.errors import ProvisionError

QUOTA = "quota"
_API_SECONDS = 10.0
_PROJECTIONS = """
SELECT n.nspname, pg_get_userbyid(c.relowner) FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'stream_identity'
WHERE c.relname = 'checkpoint' AND c.relkind = 'r'
ORDER BY 1
"""


@dataclass(frozen=True, slots=True)
class Applied:
    """How far something has read: all up to `sequence`, and last the message at `message_sequence`."""

    sequence: int
    message_sequence: int
    message_id: str


async def adopt(connection: Client, admin_dsn: str, passwords: Mapping[str, str]) -> list[str]:
    """Give every checkpoint that fits the present stream its identity; what was done, and what is left to do, in words.

    Quota begins to count anew when its checkpoint does not fit, which takes as long as reading the stream. Each table
    is written by its owner's login: what an owner put behind its table, a superuser would run as one.
    """
    info = await _api(connection, "INFO", {})
    created, last = info["created"], info["state"]["last_seq"]
    async with database_at(admin_dsn) as database:
        projections = await (await database.execute(_PROJECTIONS)).fetchall()
    logins = {role: make_conninfo(admin_dsn, user=role, password=password) for role, password in passwords.items()}
    async with database_at(logins["wepeople_quota"]) as own:
        done = [await _adopt_quota(connection, own, created, last)]
    for schema, owner in projections:
        if owner not in logins:
            done.append(f"{schema}: is {owner}'s, whose password is not among the roles'; it is left as it is")
            continue
        async with database_at(logins[owner]) as own:
            done.append(await _adopt_projection(connection, own, schema, created, last))
    return done


async def _adopt_quota(connection: Client, database: AsyncConnection, created: str, last: int) -> str:
    found = await database.execute("SELECT sequence, sequence, message_id FROM quota.checkpoint")
    if await _fits(connection, [Applied(*line) for line in await found.fetchall()], last):
        await database.execute("UPDATE quota.checkpoint SET identity = %s", [created])
        return f"{QUOTA}: counts on"
    # Row policies let quota delete no usage; all of it at once its owner may.
    await database.execute("TRUNCATE quota.checkpoint, quota.usage, quota.charged_ids")
    return f"{QUOTA}: this stream is not the one that it has counted; it counts again from the beginning"


async def _adopt_projection(connection: Client, database: AsyncConnection, schema: str, created: str, last: int) -> str:
    table = sql.Identifier(schema, "checkpoint")
    found = await database.execute(sql.SQL("SELECT sequence, message_sequence, message_id FROM {}").format(table))
    if await _fits(connection, [Applied(*line) for line in await found.fetchall()], last):
        await database.execute(sql.SQL("UPDATE {} SET stream_identity = %s").format(table), [created])
        return f"{schema}: goes on"
    name = schema.rpartition("_v")[0]
    return f"{schema}: holds what this stream does not; build it anew: wepeople projection rebuild {name}"


async def _fits(connection: Client, checkpoints: Iterable[Applied], last: int) -> bool:
    for applied in checkpoints:
        if applied.sequence > last:
            return False
        if applied.message_sequence and await _message_id(connection, applied.message_sequence) != applied.message_id:
            return False
    return True


async def _message_id(connection: Client, sequence: int) -> str | None:
    """The id of the message at a sequence; None when there is none."""
    reply = await connection.request(
        f"$JS.API.STREAM.MSG.GET.{STREAMS[0]}", json.dumps({"seq": sequence}).encode(), timeout=_API_SECONDS
    )
    found = json.loads(reply.data)
    if "error" in found:
        return None
    return header_of(found["message"].get("hdrs", ""), MSG_ID_HEADER)


def header_of(encoded: str, name: str) -> str | None:
    """One header of a stored message, as JetStream's API gives them: base64 of lines `Name: value`."""
    lines = base64.b64decode(encoded).decode().split("\r\n")
    return next((line.removeprefix(f"{name}: ") for line in lines if line.startswith(f"{name}: ")), None)


async def _api(connection: Client, verb: str, body: dict[str, Any]) -> dict[str, Any]:
    message = await connection.request(
        f"$JS.API.STREAM.{verb}.{STREAMS[0]}", json.dumps(body).encode(), timeout=_API_SECONDS
    )
    reply: dict[str, Any] = json.loads(message.data)
    if error := reply.get("error"):
        raise ProvisionError(f"There is no stream {STREAMS[0]} to read on in: {error.get('description')}.")
    return reply
