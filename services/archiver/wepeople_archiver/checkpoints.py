"""Who reads the stream, and how far each is: every version of every projection, one that is being built too, and quota.

Read as the role `wepeople_operator`, from the catalogue on, so that no list of them has to be kept.
"""

import json
from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg import AsyncConnection, sql

from wepeople_archiver.trimming import Reader
from wepeople_chassis.postgres import own_names_only

QUOTA = "quota"
_SCHEMAS = """
SELECT n.nspname FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attname = 'stream_identity'
WHERE c.relname = 'checkpoint' AND c.relkind = 'r'
ORDER BY 1
"""


async def all_readers(dsn: str, identities: Mapping[int, str]) -> list[Reader]:
    """All but those that have reached the end of what they select. `identities`: of each partition's history; who has
    read another is nowhere in this one.
    """
    async with await psycopg.AsyncConnection.connect(
        dsn, connect_timeout=5, options=own_names_only(dsn), autocommit=True
    ) as connection:
        found: list[Reader | None] = [await _quota(connection, identities)]
        for (schema,) in await (await connection.execute(_SCHEMAS)).fetchall():
            found.append(await _projection(connection, schema, identities))
    return [reader for reader in found if reader is not None]


async def _quota(connection: AsyncConnection[Any], identities: Mapping[int, str]) -> Reader:
    cursor = await connection.execute("SELECT partition, identity, sequence FROM quota.partitions")
    return Reader(QUOTA, _of_this_history(await cursor.fetchall(), identities))


async def _projection(connection: AsyncConnection[Any], schema: str, identities: Mapping[int, str]) -> Reader | None:
    about = await connection.execute(sql.SQL("SELECT selection::text FROM {}").format(sql.Identifier(schema, "about")))
    row = await about.fetchone()
    lines = await connection.execute(
        sql.SQL("SELECT partition, stream_identity, sequence FROM {}").format(sql.Identifier(schema, "checkpoint"))
    )
    positions = _of_this_history(await lines.fetchall(), identities)
    end = json.loads(row[0]).get("to_sequence") if row else None
    if end is not None and all(positions.get(partition, 0) >= end for partition in identities):
        return None
    return Reader(schema, positions)


def _of_this_history(lines: list[Any], identities: Mapping[int, str]) -> dict[int, int]:
    return {partition: sequence for partition, identity, sequence in lines if identities.get(partition) == identity}
