"""`wepeople projection parked retry|skip`: what becomes of rows that could not be taken."""

import asyncio
import time
from typing import Any, Literal

from psycopg import AsyncConnection
from psycopg.rows import dict_row

from wepeople_chassis.operator import Operator, fail
from wepeople_projections.commands.parked import Line, last_line, plain, several_orgs
from wepeople_projections.commands.session import long_command, owner_dsn
from wepeople_projections.commands.steering import told
from wepeople_projections.commands.targets import Target, code_of, find_target
from wepeople_projections.definition.naming import split_version
from wepeople_projections.folding.position import Position
from wepeople_projections.replay.building import Workplace, workplace
from wepeople_projections.running.job import Job
from wepeople_projections.running.options import RunOptions
from wepeople_projections.running.ownership import member_count
from wepeople_projections.running.settling import settle_decided
from wepeople_projections.running.statements import statements
from wepeople_projections.versions.control import execute

WAIT_SECONDS = 15.0
LOOK_SECONDS = 0.25


def decide(
    name: str,
    sequence: int | None,
    row: int | None,
    org: str | None,
    *,
    every: bool,
    decision: Literal["retry", "skip"],
    as_json: bool,
) -> None:
    """Give rows to the projection again, or leave them out for good; wait for what becomes of them if it runs."""
    if (sequence is None) != every:
        fail("Name one SEQUENCE, or --all for everything that is parked.")

    async def work(operator: Operator) -> None:
        dsn = owner_dsn(operator, split_version(name)[0])
        async with workplace(operator, dsn, as_json=as_json) as place:
            async with place.pool.connection() as owner:
                target = await find_target(owner, name, None)
                wanted = {"every": every, "sequence": sequence, "row": row, "org": org}
                found = [] if every else await execute(owner, "parked_of_message", target.schema, **wanted)
                if several := several_orgs(found):
                    fail(several)
                chosen = await execute(owner, "decide", target.schema, decision=decision, **wanted)
                runs = bool(await member_count(owner, target.schema))
                waits = "" if chosen or every else await _waits(owner, target.schema, sequence, row, org)
            if not chosen:
                unknown = f"There is no such parked row in {target.schema}. `parked list` shows what there is."
                fail(waits or unknown, 1)
            if target.about.paused:
                later = f"{len(chosen):,} decided: it happens once {target.schema} is resumed."
                told({"decided": chosen, "outcome": []}, later, as_json)
                return
            if not runs:
                await _settle_here(place, target)
            outcome = await _outcome(place, target.schema, chosen)
        _tell(chosen, outcome, as_json)

    long_command(work, resume="What was decided stays decided, and happens when the projection runs.")


async def _settle_here(place: Workplace, target: Target) -> None:
    """Where nobody runs the projection, this command does it."""
    options = RunOptions(selection=target.about.selection)
    definition = code_of(target, None).definition
    await settle_decided(Job(definition, target.schema, place.stream, place.pool, options, _Nobody()))


class _Nobody:
    """An observer who does not look."""

    async def committed(self, partition: int, position: Position, rows: int, pending: int) -> None:
        """Nothing."""


def _tell(chosen: list[Line], outcome: list[Line], as_json: bool) -> None:
    counts = {status: sum(line["status"] == status for line in outcome) for status in _WORDS}
    said = ", ".join(f"{count:,} {_WORDS[status]}" for status, count in counts.items() if count)
    told({"decided": chosen, "outcome": [plain(line) for line in outcome]}, f"{said}.", as_json)
    if counts["parked"]:
        fail(f"Again: {last_line(next(line['reason'] for line in outcome if line['status'] == 'parked'))}", 1)


_WORDS = {
    "applied": "applied",
    "skipped": "skipped",
    "parked": "parked again",
    "waiting": "waiting",
    "retry": "not tried yet",
    "skip": "not skipped yet",
}


async def _outcome(place: Workplace, schema: str, chosen: list[Line]) -> list[Line]:
    """What the decided rows are, once none is left to be tried, or after some seconds."""
    until = time.monotonic() + WAIT_SECONDS
    sql = statements(schema)
    asked = [[line[name] for line in chosen] for name in ("partition", "sequence", "row")]
    while time.monotonic() < until:
        async with place.pool.connection() as owner:
            left = await (await owner.execute(sql["left_to_settle"], asked)).fetchone()
        if left == (False,):
            break
        await asyncio.sleep(LOOK_SECONDS)
    async with place.pool.connection() as owner, owner.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(sql["outcome"], asked)
        return await cursor.fetchall()


async def _waits(
    owner: AsyncConnection[Any], schema: str, sequence: int | None, row: int | None, org: str | None
) -> str:
    """In words, what must be decided before that row; nothing when it does not wait."""
    found = await (await owner.execute(statements(schema)["blocker"], [sequence, row, row, org, org])).fetchone()
    if found is None:
        return ""
    waiting, waiting_row, before, before_row = found
    which = str(before) if before_row < 0 else f"{before} {before_row}"
    what = _named(waiting, waiting_row)
    return (
        f"{what[0].upper()}{what[1:]} waits behind {_named(before, before_row)}. Decide about that first: "
        f"`wepeople projection parked retry {schema} {which}`."
    )


def _named(sequence: int, row: int) -> str:
    return f"message {sequence}" if row < 0 else f"row {row} of message {sequence}"
