"""Makes this version's tables when they are missing, and lets it serve when no version does yet."""

import asyncio

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from wepeople_chassis.logging import get_logger
from wepeople_chassis.postgres import Pool
from wepeople_projections.commands.load import Loaded
from wepeople_projections.errors import ProjectionError
from wepeople_projections.postgres.about import About, read_about, schema_exists, set_code
from wepeople_projections.postgres.ddl import create_schema, tables_sha256, views_of
from wepeople_projections.postgres.row_security import secure_rows
from wepeople_projections.postgres.views import point_views, serve, serving_version
from wepeople_projections.postgres.write import will_pass
from wepeople_projections.versions.control import execute

log = get_logger(__name__)

RETRY_SECONDS = 0.5
LOCK_SECONDS = 2
"""Whoever wants a table for which this waits, waits behind it: so it gives up, lets them pass, and tries again."""
_ONE_AT_A_TIME = 0x6C697665  # "live"


async def found(pool: Pool, live: Loaded) -> None:
    """Do it once the database is there; `ProjectionError` when the tables are another code's, `psycopg.Error` when the
    database refuses for good.
    """
    while True:
        try:
            async with pool.connection() as connection:
                await connection.execute("SELECT set_config('lock_timeout', %s, true)", [f"{LOCK_SECONDS}s"])
                await connection.execute("SELECT pg_advisory_xact_lock(%s::bigint)", [_ONE_AT_A_TIME])
                await _found(connection, live)
                return
        except psycopg.Error as error:
            if not will_pass(error):
                raise
            away = not isinstance(error, psycopg.errors.LockNotAvailable)
            log.warning("database_away" if away else "waits_for_a_lock", error=str(error))
        await asyncio.sleep(RETRY_SECONDS)


async def _found(connection: AsyncConnection[TupleRow], live: Loaded) -> None:
    definition, schema = live.definition, live.definition.schema
    tables = tables_sha256(definition)
    if not await schema_exists(connection, schema):
        about = About(
            name=definition.name,
            version=definition.version,
            source=live.source,
            code_sha256=live.code_sha256,
            tables_sha256=tables,
        )
        await create_schema(connection, definition, schema, about)
        log.info("schema_created", schema=schema)
    about = await read_about(connection, schema)
    if about.tables_sha256 != tables:
        raise ProjectionError(
            f"the tables of {schema} are not those of this code: a version's tables never change. Install the release "
            f"that made them. Or stop every projector, run `wepeople projection drop {schema} --serving`, and start "
            "this one again: it makes them anew from the stream. With `wepeople up`, take another --state-dir, or "
            "remove the old one with all that is in it"
        )
    await secure_rows(connection, schema)
    renewed = about.code_sha256 != live.code_sha256
    if renewed:
        views = views_of(definition)
        await set_code(connection, schema, source=live.source, code_sha256=live.code_sha256, views=views)
        # What was proved, was proved of the older code; what that has written stays until a rebuild.
        await execute(connection, "forget_verified", schema)
        log.info("code_changed", schema=schema, remedy=f"wepeople prove, or wepeople projection rebuild {schema}")
    serving = await serving_version(connection, definition.name)
    if serving is None:
        await serve(connection, definition.name, schema)
        log.info("serves", schema=schema)
    elif renewed and serving == definition.version:
        await point_views(connection, definition.name, schema)
