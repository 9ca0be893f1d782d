"""The streams and the bucket of quota's leases: made once, settings kept right, messages never touched."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nats.aio.client import Client

from wepeople_contracts.subjects import LEASE_STREAM, STREAMS
from wepeople_provision.change import Change
from wepeople_provision.errors import ProvisionError
from wepeople_provision.stream_api import Refused, ask, ask_or_none, streams_there
from wepeople_provision.stream_lock import one_at_a_time
from wepeople_provision.stream_plan import (
    NO_WISHES,
    NUMBER_OF_REPLICAS,
    Existing,
    StreamPlan,
    Wishes,
    hint,
    plan_bucket,
    plan_streams_there,
    refuse_other_streams,
)


@dataclass(frozen=True, slots=True)
class _Plans:
    """What to do of each stream, of what is refused whatever is done, and the mirrors that are left alone."""

    plans: Sequence[StreamPlan]
    refused: Sequence[Change]
    mirrors: Sequence[str]

    @property
    def changes(self) -> list[Change]:
        return [*self.refused, *(change for plan in self.plans for change in plan.changes)]


async def plan_streams(connection: Client, wishes: Wishes = NO_WISHES) -> list[Change]:
    """What `provision_streams` would change; nothing is."""
    return (await _plans(connection, wishes)).changes


async def refuse_streams(connection: Client, wishes: Wishes = NO_WISHES) -> None:
    """`ProvisionError` when `provision_streams` would refuse what it can foresee; nothing is changed."""
    _without_refusals(await _plans(connection, wishes))


async def provision_streams(connection: Client, wishes: Wishes = NO_WISHES) -> list[str]:
    """The streams, and the bucket with as many copies; what was done, in words.

    `ProvisionError` when something is refused; what this process can foresee is refused before anything is changed.
    """
    plans = _without_refusals(await _plans(connection, wishes))
    if any(plan.update is not None and plan.name in STREAMS for plan in plans.plans):
        # By settings of before it, a cut that another command makes meanwhile would be undone.
        async with one_at_a_time(connection):
            return await _carry_out_all(connection, _without_refusals(await _plans(connection, wishes)))
    return await _carry_out_all(connection, plans)


async def _carry_out_all(connection: Client, plans: _Plans) -> list[str]:
    done = [line for plan in plans.plans for line in await _carry_out(connection, plan)]
    return done + [f"stream {name}: `wepeople stream split` was not finished; run it again" for name in plans.mirrors]


async def _plans(connection: Client, wishes: Wishes) -> _Plans:
    there = {name: _existing(info) for name, info in (await streams_there(connection)).items()}
    streams = plan_streams_there(there, wishes)
    bucket = await ask_or_none(connection, "STREAM.INFO", LEASE_STREAM)
    copies = max((stream.replicas for stream in streams), default=NUMBER_OF_REPLICAS)
    return _Plans(
        plans=[*streams, plan_bucket(None if bucket is None else _existing(bucket), copies)],
        refused=refuse_other_streams(there, wishes),
        mirrors=[name for name, stream in there.items() if "mirror" in stream.config],
    )


def _without_refusals(plans: _Plans) -> _Plans:
    if refused := [change for change in plans.changes if change.refused]:
        raise ProvisionError("\n".join(map(str, refused)) + "\nNothing was changed.")
    return plans


def _existing(info: dict[str, Any]) -> Existing:
    return Existing(info["config"], info["state"]["bytes"])


async def _carry_out(connection: Client, plan: StreamPlan) -> list[str]:
    if plan.create is not None:
        await ask(connection, "STREAM.CREATE", plan.name, plan.create)
        return [f"stream {plan.name}: created"]
    if plan.update is None:
        return [f"stream {plan.name}: as it should be"]
    try:
        await ask(connection, "STREAM.UPDATE", plan.name, plan.update)
    except Refused as error:
        wanted = "; ".join(map(str, plan.differences))
        hints = " ".join(dict.fromkeys(hint(difference.name) for difference in plan.differences))
        raise ProvisionError(f"{error} It should have been: {wanted}. This stream was not changed. {hints}") from error
    return [f"stream {plan.name}: {difference}" for difference in plan.differences]
