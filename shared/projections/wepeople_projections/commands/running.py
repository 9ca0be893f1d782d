"""`wepeople projection run`: builds a version's tables and keeps them up to date."""

import asyncio
from contextlib import suppress
from typing import Any

import psycopg
from psycopg import AsyncConnection
from psycopg.errors import LockNotAvailable

from wepeople_chassis.operator import Operator, fail, stderr
from wepeople_chassis.tasks import run_together
from wepeople_projections.commands.choosing import Choice, kept, selection_of, without_effect
from wepeople_projections.commands.load import Loaded, built_in_sources, load_file
from wepeople_projections.commands.session import long_command, owner_dsn
from wepeople_projections.commands.targets import TargetError
from wepeople_projections.definition.naming import name_problem
from wepeople_projections.definition.selection import Selection
from wepeople_projections.postgres.about import (
    About,
    OnPoison,
    read_about,
    schema_exists,
    schemas,
    set_code,
    set_on_poison,
)
from wepeople_projections.postgres.ddl import create_schema, tables_sha256, views_of
from wepeople_projections.postgres.row_security import secure_rows
from wepeople_projections.postgres.waiting import wait_at_most
from wepeople_projections.replay.building import Workplace, build, workplace
from wepeople_projections.replay.watched import watched
from wepeople_projections.running.options import RunOptions
from wepeople_projections.running.poison import PoisonFound
from wepeople_projections.running.retention import Retention
from wepeople_projections.versions.control import execute

TURN_SECONDS = 2.0
_BETWEEN_TURNS_SECONDS = 0.5


def run_projection(file: str, choice: Choice, on_poison: OnPoison | None, as_json: bool) -> None:
    """Run until Ctrl-C, or to the end that was chosen."""

    async def work(operator: Operator) -> None:
        loaded = load_file(file)
        definition = loaded.definition
        _check_name(definition.name)
        async with workplace(operator, owner_dsn(operator, definition.name), as_json=as_json) as place:
            about = await _begun(place, loaded, choice, on_poison)
            if about.paused:
                _say(f"{definition.schema} is paused; `wepeople projection resume {definition.schema}` lets it go on.")
            options = RunOptions(selection=about.selection, on_poison=about.on_poison)
            retention = Retention(place.pool, definition, None)
            try:
                async with watched(operator, place, definition.schema, about.selection):
                    building = build(place, definition, definition.schema, options, definition.schema)
                    await run_together(asyncio.create_task(building), asyncio.create_task(retention.run()))
            except PoisonFound as found:
                fail(stopped_at(definition.schema, found), 1)
            finally:
                await tell_parked(place, definition.schema)

    long_command(work, resume="The same command goes on where this one stopped.")


def stopped_at(schema: str, found: PoisonFound) -> str:
    """Why a run has stopped, and what can be done."""
    row = f"row {found.row} of message" if found.row >= 0 else "message"
    return (
        f"{schema} has stopped before {row} {found.sequence}, which it cannot take: {found.reason}\n"
        "Mend the class and run the same command again, or add --on-poison park to put such rows aside."
    )


async def tell_parked(place: Workplace, schema: str) -> None:
    """Say that something is parked, if anything is; nothing while the database is away."""
    aside = 0
    with suppress(psycopg.Error):
        async with place.pool.connection() as connection:
            counts = await execute(connection, "aside_by_status", schema)
        aside = sum(line["rows"] for line in counts if line["status"] not in ("skip", "skipped", "applied"))
    if aside:
        rows = "1 row is" if aside == 1 else f"{aside:,} rows are"
        _say(f"{rows} parked: `wepeople projection parked list {schema}` shows why.")


async def secure_in_turns(connection: AsyncConnection[Any], schema: str, turn_seconds: float = TURN_SECONDS) -> None:
    """Secure the rows of a schema, as soon as nobody uses the tables that have to be changed for it. Who reads them
    waits behind us for one turn at most, however long somebody else holds them.
    """
    while True:
        try:
            async with connection.transaction():
                await wait_at_most(connection, turn_seconds)
                await secure_rows(connection, schema)
            return
        except LockNotAvailable:
            _say(f"Waiting for a table of {schema} that somebody uses.")
        await asyncio.sleep(_BETWEEN_TURNS_SECONDS)


async def _begun(place: Workplace, loaded: Loaded, choice: Choice, on_poison: OnPoison | None) -> About:
    """What the version's schema says of itself, once there is one that this class and these choices fit."""
    schema = loaded.definition.schema
    async with place.pool.connection() as connection:
        selection = await selection_of(place.stream, choice) if choice.anything else Selection()
        if schema not in await schemas(connection):
            await _create(connection, loaded, selection, on_poison)
        about = await read_about(connection, schema)
        if about.tables_sha256 != tables_sha256(loaded.definition):
            raise TargetError(
                f"The tables of {schema} are not those that {loaded.source} has now, and its version is still "
                f"{about.version}. Give it version = {about.version + 1}, which is built beside this one; or begin "
                f"anew: wepeople projection drop {about.name} {about.version}"
            )
        await secure_in_turns(connection, schema)
        if choice.anything:
            kept(about.selection, selection, schema)
        if said := without_effect(choice, selection):
            _say(said)
        if on_poison not in (None, about.on_poison):
            await set_on_poison(connection, schema, on_poison)
        if about.code_sha256 != loaded.code_sha256:
            _say(
                f"The code of {schema} has changed. What is in the tables stays as the old code made it: "
                f"`wepeople projection rebuild {schema}` makes all of it anew."
            )
            await execute(connection, "forget_verified", schema)
        if (about.source, about.code_sha256) != (loaded.source, loaded.code_sha256):
            await set_code(
                connection,
                schema,
                source=loaded.source,
                code_sha256=loaded.code_sha256,
                views=views_of(loaded.definition),
            )
        return await read_about(connection, schema)


async def _create(
    connection: AsyncConnection, loaded: Loaded, selection: Selection, on_poison: OnPoison | None
) -> None:
    definition = loaded.definition
    if await schema_exists(connection, definition.schema):
        raise TargetError(f"The schema {definition.schema} belongs to somebody else. Give the projection another name")
    about = About(
        name=definition.name,
        version=definition.version,
        source=loaded.source,
        code_sha256=loaded.code_sha256,
        tables_sha256=tables_sha256(definition),
        selection=selection,
        on_poison=on_poison or "park",
        ordered=definition.ordered,
    )
    try:
        await create_schema(connection, definition, definition.schema, about)
    except TargetError:
        raise
    except Exception:
        # Another process of the same command may have been faster.
        if definition.schema not in await schemas(connection):
            raise


def _check_name(name: str) -> None:
    if problem := name_problem(name):
        fail(f"{problem}.", 1)
    if name in built_in_sources():
        fail(f"{name} is run by its own service. Give your projection another name.", 1)


def _say(sentence: str) -> None:
    stderr.print(sentence, markup=False, highlight=False)
