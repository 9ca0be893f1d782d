"""`wepeople projection verify`: proves a version."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from wepeople_chassis.operator import Operator, fail
from wepeople_chassis.stream import takers
from wepeople_projections.commands.session import long_command, owner_dsn
from wepeople_projections.commands.steering import told
from wepeople_projections.commands.targets import Target, busy, code_of, find_target
from wepeople_projections.definition.naming import split_version
from wepeople_projections.replay.building import Workplace, workplace
from wepeople_projections.running.ownership import session_connection
from wepeople_projections.versions.control import only_one
from wepeople_projections.versions.proving import Proof, prove, remember


def verify_projection(name: str, version: int | None, file: str | None, as_json: bool) -> None:
    """Build again, compare, and keep what came of it."""

    async def work(operator: Operator) -> None:
        dsn = owner_dsn(operator, split_version(name)[0])
        async with workplace(operator, dsn, as_json=as_json) as place:
            async with place.pool.connection() as connection:
                target = await find_target(connection, name, version)
            definition = code_of(target, file).definition
            async with alone(place, target):
                proof = await prove(place, definition, target.schema)
                await remember(place, target.schema, proof)
            through = await _through(place, proof)
        _tell(target, proof, through, as_json)

    long_command(work, resume="What was built is dropped: a proof begins anew, by the same command.")


@asynccontextmanager
async def alone(place: Workplace, target: Target) -> AsyncIterator[None]:
    """Work on a version as the only one who verifies, rebuilds or promotes it; `TargetError` if somebody does."""
    async with session_connection(place.pool) as connection, only_one(connection, target.schema, busy(target)):
        yield


async def _through(place: Workplace, proof: Proof) -> str:
    """Up to which message, in words; of each stream where there are several, for each numbers its own."""
    ends = dict[str, int]()
    for partition, stream in (await takers(place.stream)).items():
        ends[stream.name] = max(ends.get(stream.name, 0), proof.snapshot.positions[partition])
    if len(ends) == 1:
        return f"message {proof.through:,}"
    return ", ".join(f"message {sequence:,} of {name}" for name, sequence in ends.items())


def _tell(target: Target, proof: Proof, through: str, as_json: bool) -> None:
    if proof.difference is None:
        tables = len(proof.definition.tables)
        said = (
            f"{target.schema} is what the stream makes of it: {proof.rows:,} rows in {tables} "
            f"table{'' if tables == 1 else 's'}, equal in every column, up to {through}."
        )
        told({"projection": target.schema, "equal": True, "rows": proof.rows, "through": proof.through}, said, as_json)
        return
    difference = {"projection": target.schema, "equal": False, "difference": proof.difference}
    told(difference, f"{target.schema} is NOT what the stream makes of it.", as_json)
    fail(f"{proof.difference}\n`wepeople projection rebuild {target.schema}` makes it anew from the stream.", 1)
