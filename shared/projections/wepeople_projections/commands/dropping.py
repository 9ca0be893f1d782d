"""`wepeople projection drop`: deletes a version."""

from typing import Any

from psycopg import AsyncConnection

from wepeople_chassis.operator import Operator
from wepeople_projections.commands.session import command, connection, owner_dsn
from wepeople_projections.commands.steering import told
from wepeople_projections.commands.targets import Target, TargetError, busy, find_target
from wepeople_projections.definition.naming import SCRATCH, split_version
from wepeople_projections.postgres.about import schemas
from wepeople_projections.postgres.ddl import drop_schema
from wepeople_projections.postgres.views import drop_views
from wepeople_projections.postgres.waiting import wait_at_most
from wepeople_projections.running.ownership import member_count
from wepeople_projections.versions.control import only_one

LOCK_SECONDS = 10.0


def drop_projection(name: str, version: int | None, serving: bool, as_json: bool) -> None:
    """Delete a version and what was left beside it."""

    async def work(operator: Operator) -> None:
        async with connection(owner_dsn(operator, split_version(name)[0])) as owner:
            target = await find_target(owner, name, version)
            await _check_droppable(owner, target, serving)
            dropped = [schema for schema in await schemas(owner) if schema in _all_of(target.schema)]
            async with only_one(owner, target.schema, busy(target)), owner.transaction():
                await wait_at_most(owner, LOCK_SECONDS)
                if target.serving:
                    await drop_views(owner, target.about.name)
                for schema in dropped:
                    await drop_schema(owner, schema)
        told({"dropped": dropped}, f"Dropped: {', '.join(dropped)}. The stream keeps everything.", as_json)

    command(work)


async def _check_droppable(owner: AsyncConnection[Any], target: Target, serving: bool) -> None:
    if target.serving and not serving:
        raise TargetError(
            f"Readers see {target.schema}. Promote another version first, or add --serving to take {target.about.name} "
            "away from them as well."
        )
    if processes := await member_count(owner, target.schema):
        counted = "1 process" if processes == 1 else f"{processes} processes"
        raise TargetError(f"{target.schema} is running ({counted}). End that first, by Ctrl-C.")


def _all_of(schema: str) -> tuple[str, ...]:
    return (schema, *(f"{schema}{ending}" for ending in SCRATCH))
