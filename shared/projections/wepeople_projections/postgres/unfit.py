"""Finds JSON that JSONB cannot hold: a NUL in a string, a number beyond numeric. Only Postgres knows for certain."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import msgspec
import psycopg
from psycopg import AsyncConnection

from wepeople_projections.batch.changes import Changes
from wepeople_projections.batch.layer import Layer
from wepeople_projections.batch.merge import Key
from wepeople_projections.definition.columns import Kind
from wepeople_projections.definition.table import Row
from wepeople_projections.definition.taking import is_raw_text, is_surely_jsonb
from wepeople_projections.postgres.write import refused

_FIND = """
SELECT n::int FROM unnest(%s::text[]) WITH ORDINALITY AS asked(value, n) WHERE NOT pg_input_is_valid(value, 'jsonb')
"""


async def leave_out_unfit(connection: AsyncConnection[Any], changes: Changes) -> bool:
    """Make every `Jsonb | None` of a batch None that JSONB cannot hold; whether there was any."""
    doubtful = {value for *_, row, name in _values(changes) if not is_surely_jsonb(value := getattr(row, name))}
    unfit = await _unfit(connection, sorted(doubtful))
    for rows, key, _, name in list(_values(changes)):
        if getattr(rows[key], name) in unfit:
            rows[key] = msgspec.structs.replace(rows[key], **{name: None})
    return bool(unfit)


def _values(changes: Changes) -> Iterator[tuple[dict[Key, Row], Key, Row, str]]:
    """Where the values are that may be None instead, and are not."""
    for layer in changes.layers:
        if not isinstance(layer, Layer):
            continue
        names = [c.name for c in layer.spec.columns if c.kind is Kind.JSONB and c.optional]
        for rows in (layer.inserted, layer.upserted) if names else ():
            for key, row in rows.items():
                for name in names:
                    if getattr(row, name) is not None:
                        yield rows, key, row, name


async def _unfit(connection: AsyncConnection[Any], values: Sequence[bytes]) -> Collection[bytes]:
    """Those of the values that cannot be JSONB; by halves where Postgres cannot say it of all at once."""
    if not values:
        return ()
    no_text = {value for value in values if not is_raw_text(value)}
    texts = [value for value in values if value not in no_text]
    try:
        async with connection.transaction():
            cursor = await connection.execute(_FIND, [[text.decode() for text in texts]])
            return no_text | {texts[n - 1] for (n,) in await cursor.fetchall()}
    except psycopg.Error as error:
        if not refused(error):
            raise
        if len(values) == 1:
            return values
        half = len(values) // 2
        return {*await _unfit(connection, values[:half]), *await _unfit(connection, values[half:])}
