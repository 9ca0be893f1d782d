"""How the running system is: its streams, how far behind it the read models are, the month's usage, the services.

Each part is asked for by itself, so that what is away does not hide the rest.
"""

import asyncio
from collections.abc import Mapping

from nats.aio.client import Client
from psycopg import AsyncConnection
from psycopg import Error as PostgresError
from pydantic import BaseModel

from wepeople_chassis.broker import is_ready
from wepeople_chassis.operator import Operator
from wepeople_chassis.postgres_address import standby_at
from wepeople_chassis.rpc import Refused, Unavailable, call
from wepeople_chassis.stream import StreamState, stream_states
from wepeople_contracts.quota import Usage, UsageQuery
from wepeople_contracts.subjects import PARTITIONS, usage_subject
from wepeople_projections.replay.backlog import backlog_of
from wepeople_projector.reading import Row, connect, postgres_address, rows

SERVICES = ("gateway", "auth", "quota", "projector")


class StreamStatus(BaseModel):
    """What a stream holds, of which partitions, how much it may, and how many of its copies are whole."""

    name: str
    partitions: list[int]
    messages: int
    size_bytes: int
    first_sequence: int
    last_sequence: int
    limit_bytes: int | None
    copies: str


class ProjectionStatus(BaseModel):
    """How far a projection is behind what is stored: messages not applied yet, and the age of the oldest of them. Of a
    read replica, what it has not copied yet is among them.
    """

    projection: str
    lag_messages: int
    lag_seconds: float
    parked: int


class OrgUsage(BaseModel):
    """An org's monthly events; None where quota does not answer."""

    org_id: str
    name: str
    period: str | None = None
    used: int | None = None
    reserved: int | None = None


class ServiceStatus(BaseModel):
    """Whether a service says that it can work."""

    service: str
    ready: bool


class Status(BaseModel):
    """Everything; `notes` says in words what could not be asked."""

    streams: list[StreamStatus]
    projections: list[ProjectionStatus]
    usage: list[OrgUsage]
    services: list[ServiceStatus]
    notes: list[str]


async def collect_status(operator: Operator, connection: Client) -> Status:
    """Ask everybody; `StreamError` or what NATS raises when there is no stream to speak of."""
    streams = await stream_states(connection)
    services = await asyncio.gather(*(is_ready(connection, service) for service in SERVICES))
    projections: list[ProjectionStatus] = []
    usage: list[OrgUsage] = []
    notes: list[str] = []
    taken = {partition: stream for stream in streams for partition in stream.partitions}
    if nobodys := sorted(set(range(PARTITIONS)) - taken.keys()):
        notes.append(f"No stream takes the partitions {', '.join(map(str, nobodys))}: requests of their orgs wait.")
    try:
        async with await connect(operator.postgres_dsn) as models:
            projections.append(await _projection(connection, models, taken))
            orgs = await rows(models, "orgs")
    except PostgresError as error:
        notes.append(_away("Postgres", operator.postgres_dsn, error))
    else:
        usage = await asyncio.gather(*(_usage(connection, org) for org in orgs))
    if operator.read_replica:
        at = standby_at(operator.postgres_dsn, operator.read_replica)
        try:
            async with await connect(at) as copied:
                projections.append(await _projection(connection, copied, taken, where=f" at {operator.read_replica}"))
        except PostgresError as error:
            notes.append(_away("The read replica", at, error))
    return Status(
        streams=[_of_stream(stream) for stream in streams],
        projections=projections,
        usage=usage,
        services=[ServiceStatus(service=s, ready=ready) for s, ready in zip(SERVICES, services, strict=True)],
        notes=notes,
    )


async def _projection(
    connection: Client, models: AsyncConnection[Row], streams: Mapping[int, StreamState], where: str = ""
) -> ProjectionStatus:
    checkpoints = await rows(models, "checkpoints")
    positions = {row["partition"]: row["sequence"] for row in checkpoints if row["partition"] in streams}
    [parked] = await rows(models, "parked")
    [about] = await rows(models, "about")
    lag_messages, lag_seconds = await backlog_of(connection, positions, streams)
    return ProjectionStatus(
        projection=f"{about['projection']}{where}",
        lag_messages=lag_messages,
        lag_seconds=lag_seconds,
        parked=parked["rows"],
    )


def _away(who: str, dsn: str, error: PostgresError) -> str:
    return f"{who} does not answer at {postgres_address(dsn)}: {str(error).strip().splitlines()[0]}"


def _of_stream(state: StreamState) -> StreamStatus:
    return StreamStatus(
        name=state.name,
        partitions=sorted(state.partitions),
        messages=state.messages,
        size_bytes=state.size_bytes,
        first_sequence=state.first_sequence,
        last_sequence=state.last_sequence,
        limit_bytes=state.limit_bytes,
        copies=f"{state.copies} of {state.copies_wanted}",
    )


async def _usage(connection: Client, org: Row) -> OrgUsage:
    try:
        usage = await call(
            connection, usage_subject(org["org_id"]), UsageQuery(org_id=org["org_id"]), Usage, timeout_seconds=1.0
        )
    except (Refused, Unavailable):
        return OrgUsage(org_id=org["org_id"], name=org["name"])
    return OrgUsage(
        org_id=org["org_id"], name=org["name"], period=usage.period, used=usage.used, reserved=usage.reserved
    )
