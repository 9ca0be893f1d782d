"""`wepeople projection pause|resume`."""

import json
from typing import Any

from wepeople_chassis.operator import Operator, stdout
from wepeople_projections.commands.session import command, connection, owner_dsn
from wepeople_projections.commands.targets import find_target
from wepeople_projections.definition.naming import split_version
from wepeople_projections.postgres.about import set_paused as write_paused
from wepeople_projections.running.ownership import member_count


def set_paused(name: str, version: int | None, paused: bool, as_json: bool) -> None:
    """Let a version stand still, or go on."""

    async def work(operator: Operator) -> None:
        async with connection(owner_dsn(operator, split_version(name)[0])) as owner:
            target = await find_target(owner, name, version)
            await write_paused(owner, target.schema, paused)
            processes = await member_count(owner, target.schema)
        if paused:
            said = (
                f"{target.schema} stands still within a second. `wepeople projection resume {target.schema}` ends it."
            )
        elif processes or not target.about.paused:
            said = f"{target.schema} goes on within a second."
        else:
            said = f"{target.schema} may go on: whoever runs it does so within a second."
        told({"projection": target.schema, "paused": paused}, said, as_json)

    command(work)


def told(values: dict[str, Any], sentence: str, as_json: bool) -> None:
    """Print what was done: as one JSON object for scripts, else in words."""
    if as_json:
        print(json.dumps(values, default=str, ensure_ascii=False))
    else:
        stdout.print(sentence, markup=False, highlight=False)
