"""Requests with rows that a tally cannot take, and what became of them."""

from collections.abc import Sequence
from typing import Any

import msgspec
from psycopg import AsyncConnection

from tests.support.engines import Ground
from tests.support.stored import envelope, raw
from tests.support.tally import POISON, UNFIT
from wepeople_contracts.envelope import Envelope
from wepeople_projections import Event, Operation, Projection, on_event
from wepeople_projections.definition.projection import define

ORG = "org_a"


def request(*rows: tuple[str, str], org: str = ORG) -> Envelope:
    """Events as (type, worker); the metadata names the worker, a lone NUL is for JSONB to refuse."""
    events = [
        {"eventType": kind, "category": "code", "metadata": {"name": who}, "actor": {"externalId": who}}
        for kind, who in rows
    ]
    return envelope(org, [raw(event) for event in events], app_id=f"{org}_app")


async def events(ground: Ground, schema: str = "tally_v1") -> list[tuple[int, str]]:
    """The events that were applied, as (sequence, type), in the order of their ids."""
    rows = await ground.rows(f"SELECT sequence, event_type FROM {schema}.seen ORDER BY sequence, event_id")
    return [(row["sequence"], row["event_type"]) for row in rows]


async def parked(ground: Ground, schema: str = "tally_v1") -> list[tuple[int, int, str, int]]:
    """What was ever parked: (sequence, row, status, attempts)."""
    rows = await ground.rows(f"SELECT * FROM {schema}.parked ORDER BY sequence, row_index")
    return [(row["sequence"], row["row_index"], row["status"], row["attempts"]) for row in rows]


async def reasons(ground: Ground, schema: str = "tally_v1") -> list[str]:
    rows = await ground.rows(f"SELECT reason FROM {schema}.parked ORDER BY sequence, row_index")
    return [row["reason"] for row in rows]


async def decide(ground: Ground, decision: str, *, schema: str, sequence: int, row: int) -> None:
    async with await AsyncConnection.connect(ground.dsn, autocommit=True) as connection:
        statement = f"UPDATE {schema}.parked SET status = %s WHERE sequence = %s AND row_index = %s"
        await connection.execute(statement.encode(), [decision, sequence, row])


def mended(projection: type[Projection]) -> Any:
    """The projection's next release, which takes what it could not take before."""

    class Mended(projection):  # type: ignore[valid-type,misc]
        @on_event()
        def happened(self, event: Event) -> Sequence[Operation]:
            swap = {POISON: "cured", UNFIT: "fitted"}
            event_type = swap.get(event.event_type, event.event_type)
            emitted: Sequence[Operation] = list(super().happened(msgspec.structs.replace(event, event_type=event_type)))
            return emitted

    return define(Mended)
