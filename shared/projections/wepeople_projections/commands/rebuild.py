"""`wepeople projection rebuild`: makes a version anew beside itself, and puts it in its own place."""

from wepeople_chassis.operator import Operator, fail
from wepeople_projections.commands.running import stopped_at, tell_parked
from wepeople_projections.commands.session import long_command, owner_dsn
from wepeople_projections.commands.steering import told
from wepeople_projections.commands.targets import code_of, find_target
from wepeople_projections.commands.verify import alone
from wepeople_projections.definition.naming import split_version
from wepeople_projections.postgres.about import OnPoison
from wepeople_projections.replay.building import workplace
from wepeople_projections.running.poison import PoisonFound
from wepeople_projections.versions.rebuilding import drop_replaced, rebuild


def rebuild_projection(
    name: str, version: int | None, on_poison: OnPoison | None, file: str | None, as_json: bool
) -> None:
    """Build, catch up, swap, drop."""

    async def work(operator: Operator) -> None:
        dsn = owner_dsn(operator, split_version(name)[0])
        async with workplace(operator, dsn, as_json=as_json) as place:
            async with place.pool.connection() as connection:
                target = await find_target(connection, name, version)
            code = code_of(target, file)
            async with alone(place, target):
                try:
                    rows = await rebuild(place, code, target.schema, on_poison or "stop")
                except PoisonFound as found:
                    fail(stopped_at(target.schema, found), 1)
                said = f"{target.schema} is built anew from the stream: {rows:,} rows were applied"
                readers = ", and readers see them" if target.serving else ""
                told({"projection": target.schema, "rows": rows}, f"{said}{readers}.", as_json)
                await drop_replaced(place, target.schema)
            await tell_parked(place, target.schema)

    long_command(
        work,
        resume="Unless it was said that it is built anew, readers see what they saw. The same command goes on where "
        "this one stopped.",
    )
