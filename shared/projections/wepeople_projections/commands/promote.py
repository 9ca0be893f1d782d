"""`wepeople projection promote`: lets readers see a version."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta

from msgspec.structs import replace

from wepeople_chassis.operator import Operator, stderr
from wepeople_chassis.stream import StreamState, takers
from wepeople_projections.commands.running import tell_parked
from wepeople_projections.commands.session import long_command, owner_dsn
from wepeople_projections.commands.steering import told
from wepeople_projections.commands.targets import Target, TargetError, all_targets, choose
from wepeople_projections.commands.verify import alone
from wepeople_projections.definition.naming import split_version
from wepeople_projections.definition.selection import Selection
from wepeople_projections.postgres.months import kept_from, outdated
from wepeople_projections.replay.backlog import count_messages, stretches
from wepeople_projections.replay.building import Workplace, workplace
from wepeople_projections.running.ownership import member_count
from wepeople_projections.versions.control import checkpoints, execute, positions_of
from wepeople_projections.versions.proved import changed_since_proof
from wepeople_projections.versions.swapping import promote

PROOF_AGE = timedelta(days=1)
"""An older proof says too little of what is in the tables now."""
CATCH_UP_SECONDS = 10.0
LOOK_SECONDS = 0.5


def promote_projection(name: str, version: int | None, as_json: bool) -> None:
    """Refuse or swap."""

    async def work(operator: Operator) -> None:
        base, _ = split_version(name)
        async with workplace(operator, owner_dsn(operator, base), as_json=as_json) as place:
            async with place.pool.connection() as connection:
                versions = await all_targets(connection, base)
            target = choose(versions, name, version)
            serving = next((other for other in versions if other.serving), None)
            if target.serving:
                told(_values(target, target), f"Readers see {target.schema} already.", as_json)
                return
            async with alone(place, target):
                await _check_verified(place, target)
                await _check_caught_up(place, target)
                if serving:
                    await _check_replaces(place, target, serving)
                await _check_unchanged(place, target)
                await promote(place.pool, base, target.schema, serving.schema if serving else None)
            instead = f", no more {serving.schema}" if serving else ""
            told(_values(target, serving), f"Readers of {base} see {target.schema} from now on{instead}.", as_json)
            await tell_parked(place, target.schema)
            await _tell_stopped(place, target)

    long_command(work, resume="Unless it was said that readers see another version from now on, nothing was changed.")


async def _check_verified(place: Workplace, target: Target) -> None:
    async with place.pool.connection() as connection:
        [line] = await execute(connection, "verified_at", target.schema)
    verified_at, retried_at = line["verified_at"], line["retried_at"]
    if verified_at is None:
        why = "has not been verified since it was built, or since its code has changed"
    elif retried_at is not None and retried_at >= verified_at:
        why = "has not been verified since parked rows were retried"
    elif line["now"] - verified_at > PROOF_AGE:
        why = f"was verified at {verified_at:%Y-%m-%d %H:%M}, more than {PROOF_AGE.days * 24} hours ago"
    else:
        return
    again = f"wepeople projection verify {target.about.name} {target.about.version}"
    raise TargetError(f"{target.schema} {why}. First run: {again}")


async def _check_caught_up(place: Workplace, target: Target) -> None:
    """`TargetError` unless all that the stream has now is applied, or is within some seconds."""
    streams = await takers(place.stream)
    ends = {partition: stream.last_sequence for partition, stream in streams.items()}
    await _check_stream(place, target, streams)
    clock = asyncio.get_running_loop().time
    until = clock() + CATCH_UP_SECONDS
    while left := await _left(place, target, ends):
        if clock() > until:
            what = "1 message" if left == 1 else f"{left:,} messages"
            raise TargetError(
                f"{target.schema} is {what} behind. Run it ({target.about.source}), and promote it once "
                f"`wepeople projection status {target.schema}` shows that nothing is left."
            )
        await asyncio.sleep(LOOK_SECONDS)


async def _check_stream(place: Workplace, target: Target, streams: Mapping[int, StreamState]) -> None:
    """`TargetError` when it was made of a stream that is not there any more: positions in that one say nothing."""
    async with place.pool.connection() as connection:
        found = await checkpoints(connection, target.schema)
    if any(line.stream_identity != streams[partition].identity for partition, line in found.items()):
        raise TargetError(
            f"{target.schema} was made of a stream that is not there any more. Make it anew from the present one: "
            f"wepeople projection rebuild {target.schema}"
        )


async def _check_replaces(place: Workplace, target: Target, serving: Target) -> None:
    """`TargetError` when it has less of the stream than the version that it would replace."""
    selection = target.about.selection
    if _endless(selection) not in (Selection(), _endless(serving.about.selection)):
        raise TargetError(
            f"{target.schema} has only a part of the stream, and not the same as {serving.schema}, which readers see. "
            f"If that is meant, first take that away: wepeople projection drop {serving.schema} --serving"
        )
    async with place.pool.connection() as connection:
        seen = await outdated(connection, serving.schema, await kept_from(connection, target.schema))
        reached = await checkpoints(connection, serving.schema)
    if seen:
        table, piece = seen[-1]
        raise TargetError(
            f"{target.schema} has dropped the months of {table} up to {piece.month.name}, and readers of "
            f"{serving.schema} see them. Let them go there first: wepeople projection months {serving.schema} "
            f"--drop-before {piece.month.end}"
        )
    for partition, line in reached.items():
        to_sequence = selection.of_partition(partition).to_sequence
        if to_sequence is not None and to_sequence < line.message_sequence:
            raise TargetError(
                f"{target.schema} ends at message {to_sequence:,} of partition {partition}, and readers of "
                f"{serving.schema} have seen message {line.message_sequence:,} already."
            )


def _endless(selection: Selection) -> Selection:
    return replace(selection, to_sequence=None, to_sequences={})


async def _check_unchanged(place: Workplace, target: Target) -> None:
    """`TargetError` when its rows are not those that were proved, although nothing has come to them since."""
    if table := await changed_since_proof(place, target.schema):
        raise TargetError(
            f"Table {table} of {target.schema} has other rows than when it was verified, and none that the stream has "
            f"brought since: somebody has changed them. `wepeople projection verify {target.schema}` says what is "
            f"different, `wepeople projection rebuild {target.schema}` makes it anew."
        )


async def _left(place: Workplace, target: Target, ends: Mapping[int, int]) -> int:
    async with place.pool.connection() as connection:
        positions = await positions_of(connection, target.schema)
    asked = stretches(positions, target.about.selection, ends)
    return sum((await count_messages(place.stream, asked)).values())


async def _tell_stopped(place: Workplace, target: Target) -> None:
    """A version that nobody runs serves ever older rows."""
    if target.about.selection.ends:
        return
    async with place.pool.connection() as connection:
        processes = await member_count(connection, target.schema)
    if not processes:
        stderr.print(
            f"Nobody runs {target.schema}, so nothing new comes into it. "
            f"Run it: wepeople projection run {target.about.source}",
            markup=False,
            highlight=False,
        )


def _values(target: Target, before: Target | None) -> dict[str, str | None]:
    return {"projection": target.about.name, "serving": target.schema, "before": before.schema if before else None}
