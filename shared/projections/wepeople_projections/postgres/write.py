"""Writes a batch's changes, in the caller's transaction: the one that moves the checkpoint."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import psycopg
from psycopg import AsyncConnection

from wepeople_chassis.postgres import named_queries
from wepeople_chassis.stream import StoredMessage
from wepeople_contracts.subjects import partition_token
from wepeople_projections.batch.changes import Changes
from wepeople_projections.batch.layer import Layer, twice
from wepeople_projections.batch.merge import Key, problem_of_row
from wepeople_projections.batch.months import leave_out, monthly
from wepeople_projections.definition.columns import Column, Kind, Merge
from wepeople_projections.definition.operations import Sql
from wepeople_projections.definition.table import Row, TableSpec
from wepeople_projections.errors import OperationError
from wepeople_projections.folding.parked import Parked
from wepeople_projections.postgres.binary import HEADER, TRAILER
from wepeople_projections.postgres.encode import encoder
from wepeople_projections.postgres.months import kept_from
from wepeople_projections.postgres.own import run_own, shown
from wepeople_projections.postgres.quoting import quoted
from wepeople_projections.postgres.records import as_json, instant
from wepeople_projections.postgres.runtime import BOUND, NAMED, BoundIdentifier, NamedEvent
from wepeople_projections.postgres.statements import EXPIRES_UNTIL, copy_statement, key_columns, statements
from wepeople_projections.times import as_datetime

_SQL = named_queries(__package__, "write.sql")
_COPIED_ROWS = 1_000
_REASON_LENGTH = 2_000
_ORG = Column("org_id", Kind.TEXT, False, Merge.REPLACE, "")
_PARKED = tuple(
    Column(name, kind, False, Merge.REPLACE, "")
    for name, kind in (
        ("sequence", Kind.INTEGER),
        ("row_index", Kind.INTEGER),
        ("org_id", Kind.TEXT),
        ("worker_id", Kind.TEXT),
        ("status", Kind.TEXT),
        ("reason", Kind.TEXT),
        ("partition", Kind.INTEGER),
    )
)

_ABOUT_THE_DATA = ("21", "22", "23", "54")
"""SQLSTATE classes: cardinality, data exception, integrity violation, limit. The same rows are refused for ever."""
_PASSING = ("08", "25", "40", "53", "55", "57", "58")
"""Connection, read-only server, rollback, resources, object state, operator intervention, system: worth another try."""
_CANNOT_BE_DONE = "55000"
"""Of the object states the one that a statement finds for ever: a view that takes no rows, a sequence without value."""
_OF_PARAMETERS = (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RecursionError)


def refused(error: BaseException) -> bool:
    """Whether the same rows are refused for ever, by Postgres or before they reach it."""
    if isinstance(error, psycopg.Error) and error.sqlstate is not None:
        return error.sqlstate.startswith(_ABOUT_THE_DATA)
    return isinstance(error, OperationError | psycopg.DataError)


def will_pass(error: psycopg.Error) -> bool:
    """Whether Postgres, once it is back or less busy, may take them."""
    if error.sqlstate is None:
        return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    return error.sqlstate.startswith(_PASSING)


async def write_changes(connection: AsyncConnection[Any], schema: str, changes: Changes) -> None:
    """Write all of a batch into the schema.

    What is `refused` may come as `psycopg.Error` or `OperationError`; the transaction is of no use after either. What
    is of months that were dropped is left out; for the others there is a piece of each table.
    """
    await _leave_out_dropped(connection, schema, changes)
    for org in changes.orgs:
        values = [org.org_id, org.name, org.salt, instant(org.occurred_at_us)]
        await connection.execute(_SQL["found"].replace("{schema}", quoted(schema)), values)
    for layer in changes.layers:
        if isinstance(layer, Sql):
            await _run(connection, schema, layer)
        else:
            await _write_layer(connection, schema, layer)
    if changes.bound:
        bound = [BoundIdentifier(i.org_id, i.kind, i.scope, i.value, w) for i, w in sorted(changes.bound.items())]
        await _copy(connection, schema, BOUND, bound)
    if changes.named:
        named = [NamedEvent(org_id, event_id) for event_id, org_id in sorted(changes.named.items())]
        await _copy(connection, schema, NAMED, named)
    if changes.parked:
        await park(connection, schema, changes.parked)


async def park(connection: AsyncConnection[Any], schema: str, parked: Sequence[Parked]) -> None:
    """Keep what could not be applied: its message once, and a line for each row of it."""
    for message in {row.message.sequence: row.message for row in parked}.values():
        stored_at = as_datetime(message.stored_at_ns // 1_000)
        await connection.execute(
            _SQL["park_message"].replace("{schema}", quoted(schema)),
            [message.sequence, message.subject, message.message_id, stored_at, message.data, _partition(message)],
        )
    lines = (
        (
            row.message.sequence,
            row.row_index,
            _storable(row.org_id),
            _storable(row.worker_id),
            "waiting" if row.waits else "parked",
            _storable(row.reason[:_REASON_LENGTH]),
            _partition(row.message),
        )
        for row in parked
    )
    await connection.execute(_SQL["park"].replace("{schema}", quoted(schema)), [as_json(_PARKED, lines)])


def _partition(message: StoredMessage) -> int:
    return int(partition_token(message.subject))


def _storable(words: str) -> str:
    """Reasons may quote what was sent, and Postgres has neither NUL nor half of a surrogate pair."""
    return words.encode(errors="replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")


async def _leave_out_dropped(connection: AsyncConnection[Any], schema: str, changes: Changes) -> None:
    """That a row is of a dropped month does not make it right: what no column can hold is refused all the same."""
    layers = list(monthly(changes))
    kept = await kept_from(connection, schema) if layers else {}
    for layer in layers:
        if first := kept.get(layer.spec.name):
            for row in leave_out(layer, first):
                if not layer.rules.is_sure(row) and (problem := problem_of_row(layer.spec, row)):
                    raise OperationError(problem)


async def _write_layer(connection: AsyncConnection[Any], schema: str, layer: Layer) -> None:
    """In the order that layer.py says."""
    spec, sql = layer.spec, statements(schema, layer.spec)
    if layer.expire:
        await _expire(connection, schema, layer)
    # Planned each time: a plan made while the table was small would stay until it is analyzed.
    if layer.absent:
        cursor = await connection.execute(sql.find, [_keys(spec, layer.absent)], prepare=False)
        if await cursor.fetchone() is not None:
            raise twice(spec, min(layer.absent))
    if layer.deleted:
        await connection.execute(sql.delete, [_keys(spec, layer.deleted)], prepare=False)
    if layer.inserted:
        keys = layer.inserted if spec.in_key_order else _in_order(layer.inserted)
        rows = [layer.inserted[key] for key in keys]
        await _copy(connection, schema, spec, rows)
    for statement, merged in ((sql.upsert, layer.upserted), (sql.add, layer.added)):
        if merged:
            values = (tuple(getattr(row, name) for name in spec.names) for row in merged.values())
            await connection.execute(statement, [as_json(spec.columns, values)])


def _in_order(keys: Iterable[Key]) -> Iterable[Key]:
    """The keys of inserts, which nobody has looked at yet: a value of a wrong type is the encoder's to name."""
    try:
        return sorted(keys)
    except TypeError:
        return keys


async def _copy(connection: AsyncConnection[Any], schema: str, spec: TableSpec, rows: Sequence[Row]) -> None:
    columns, encode = encoder(spec, rows)
    async with connection.cursor() as cursor, cursor.copy(copy_statement(schema, spec, columns)) as copy:
        await copy.write(HEADER)
        for start in range(0, len(rows), _COPIED_ROWS):
            await copy.write(encode(rows[start : start + _COPIED_ROWS]))
        await copy.write(TRAILER)


async def _expire(connection: AsyncConnection[Any], schema: str, layer: Layer) -> None:
    sql, orgs = statements(schema, layer.spec), as_json((_ORG, EXPIRES_UNTIL), layer.expire.items())
    if not layer.touched:
        await connection.execute(sql.expire, [orgs], prepare=False)
        return
    columns = (*key_columns(layer.spec), EXPIRES_UNTIL)
    touched = ((*_values(layer.spec, key), until_us) for key, until_us in layer.touched.items())
    await connection.execute(sql.expire_but, [orgs, as_json(columns, touched)], prepare=False)


def _keys(spec: TableSpec, keys: Collection[Key]) -> str:
    return as_json(key_columns(spec), (_values(spec, key) for key in keys))


def _values(spec: TableSpec, key: Key) -> tuple[Any, ...]:
    return key if len(spec.key) > 1 else (key,)


async def _run(connection: AsyncConnection[Any], schema: str, operation: Sql) -> None:
    """A statement of the projection's own: what another try would not mend is the fault of the row that brought it."""
    try:
        await run_own(connection, schema, operation)
    except psycopg.Error as error:
        if will_pass(error) and error.sqlstate != _CANNOT_BE_DONE:
            raise
        raise OperationError(f"{shown(operation)} cannot be run: {error}") from error
    except _OF_PARAMETERS as error:
        raise OperationError(f"the parameters of {shown(operation)} do not fit: {error}") from error
