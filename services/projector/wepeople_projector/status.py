"""How the running system is: the stream, how far behind it the read models are, the month's usage, the services.

Each part is asked for by itself, so that what is away does not hide the rest.
"""

import asyncio

from nats.aio.client import Client
from psycopg import AsyncConnection
from psycopg import Error as PostgresError
from pydantic import BaseModel

from wepeople_chassis.broker import is_ready
from wepeople_chassis.operator import Operator
from wepeople_chassis.postgres_address import standby_at
from wepeople_chassis.rpc import Refused, Unavailable, call
from wepeople_chassis.stream import stream_states, takers
from wepeople_contracts.quota import Usage, UsageQuery
from wepeople_contracts.subjects import usage_subject
from wepeople_projections.replay.backlog import backlog_of
from wepeople_projector.reading import Row, connect, postgres_address, rows

SERVICES = ("gateway", "auth", "quota", "projector")


class StreamStatus(BaseModel):
    """What the stream holds, how much it may, and how many of its copies are whole."""

    messages: int
    size_bytes: int
    first_sequence: int
    last_sequence: int
    limit_bytes: int | None
    copies: str


class ProjectionStatus(BaseModel):
    """How far a projection is behind the stream: messages not applied yet, and the age of the oldest of them. Of a read
    replica, what it has not copied yet is among them.
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

    stream: StreamStatus
    projections: list[ProjectionStatus]
    usage: list[OrgUsage]
    services: list[ServiceStatus]
    notes: list[str]


async def collect_status(operator: Operator, connection: Client) -> Status:
    """Ask everybody; `StreamError` or what NATS raises when there is no stream to speak of."""
    [state] = await stream_states(connection)
    services = await asyncio.gather(*(is_ready(connection, service) for service in SERVICES))
    projections: list[ProjectionStatus] = []
    usage: list[OrgUsage] = []
    notes: list[str] = []
    try:
        async with await connect(operator.postgres_dsn) as models:
            projections.append(await _projection(connection, models))
            orgs = await rows(models, "orgs")
    except PostgresError as error:
        notes.append(_away("Postgres", operator.postgres_dsn, error))
    else:
        usage = await asyncio.gather(*(_usage(connection, org) for org in orgs))
    if operator.read_replica:
        at = standby_at(operator.postgres_dsn, operator.read_replica)
        try:
            async with await connect(at) as copied:
                projections.append(await _projection(connection, copied, where=f" at {operator.read_replica}"))
        except PostgresError as error:
            notes.append(_away("The read replica", at, error))
    return Status(
        stream=StreamStatus(
            messages=state.messages,
            size_bytes=state.size_bytes,
            first_sequence=state.first_sequence,
            last_sequence=state.last_sequence,
            limit_bytes=state.limit_bytes,
            copies=f"{state.copies} of {state.copies_wanted}",
        ),
        projections=projections,
        usage=usage,
        services=[ServiceStatus(service=s, ready=ready) for s, ready in zip(SERVICES, services, strict=True)],
        notes=notes,
    )


async def _projection(connection: Client, models: AsyncConnection[Row], where: str = "") -> ProjectionStatus:
    positions = {row["partition"]: row["sequence"] for row in await rows(models, "checkpoints")}
    [parked] = await rows(models, "parked")
    [about] = await rows(models, "about")
    lag_messages, lag_seconds = await backlog_of(connection, positions, await takers(connection))
    return ProjectionStatus(
        projection=f"{about['projection']}{where}",
        lag_messages=lag_messages,
        lag_seconds=lag_seconds,
        parked=parked["rows"],
    )


def _away(who: str, dsn: str, error: PostgresError) -> str:
    return f"{who} does not answer at {postgres_address(dsn)}: {str(error).strip().splitlines()[0]}"


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
