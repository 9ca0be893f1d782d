"""How the running system is: the stream, how far behind it the read models are, the month's usage, the services.

Each part is asked for by itself, so that what is away does not hide the rest.
"""

import asyncio
from datetime import UTC, datetime

from nats.aio.client import Client
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import NotFoundError
from psycopg import Error as PostgresError
from pydantic import BaseModel

from wepeople_chassis.broker import is_ready
from wepeople_chassis.operator import Operator
from wepeople_chassis.rpc import Refused, Unavailable, call
from wepeople_chassis.stream import stream_state
from wepeople_contracts.quota import Usage, UsageQuery
from wepeople_contracts.subjects import STREAM, USAGE, partition_filter
from wepeople_projector.reading import Row, connect, postgres_address, rows

SERVICES = ("gateway", "auth", "quota", "projector")
PROJECTION = "live_v1"


class StreamStatus(BaseModel):
    """What the stream holds."""

    messages: int
    size_bytes: int
    first_sequence: int
    last_sequence: int


class ProjectionStatus(BaseModel):
    """How far a projection is behind the stream: messages not applied yet, and the age of the oldest of them."""

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
    state = await stream_state(connection)
    services = await asyncio.gather(*(is_ready(connection, service) for service in SERVICES))
    projections: list[ProjectionStatus] = []
    usage: list[OrgUsage] = []
    notes: list[str] = []
    try:
        async with await connect(operator) as models:
            checkpoints = await rows(models, "checkpoints")
            [parked] = await rows(models, "parked")
            orgs = await rows(models, "orgs")
    except PostgresError as error:
        reason = str(error).strip().splitlines()[0]
        notes.append(f"Postgres does not answer at {postgres_address(operator)}: {reason}")
    else:
        projections.append(await _lag(connection, checkpoints, state.last_sequence, parked["messages"]))
        usage = await asyncio.gather(*(_usage(connection, org) for org in orgs))
    return Status(
        stream=StreamStatus(
            messages=state.messages,
            size_bytes=state.size_bytes,
            first_sequence=state.first_sequence,
            last_sequence=state.last_sequence,
        ),
        projections=projections,
        usage=usage,
        services=[ServiceStatus(service=s, ready=ready) for s, ready in zip(SERVICES, services, strict=True)],
        notes=notes,
    )


async def _lag(connection: Client, checkpoints: list[Row], end: int, parked: int) -> ProjectionStatus:
    behind = [_behind(connection, row["partition"], row["sequence"]) for row in checkpoints if row["sequence"] < end]
    lags = await asyncio.gather(*behind)
    return ProjectionStatus(
        projection=PROJECTION,
        lag_messages=sum(messages for messages, _ in lags),
        lag_seconds=round(max((seconds for _, seconds in lags), default=0.0), 3),
        parked=parked,
    )


async def _behind(connection: Client, partition: int, sequence: int) -> tuple[int, float]:
    """Messages of a partition after a sequence, and the age of the first of them."""
    stream = connection.jetstream()
    subject = partition_filter(partition)
    try:
        first = await stream.get_msg(STREAM, seq=sequence + 1, subject=subject, next=True)
    except NotFoundError:
        return 0, 0.0
    # A consumer counts what it would deliver; it is never read from, and expires by itself.
    counter = await stream.add_consumer(
        STREAM,
        ConsumerConfig(
            filter_subject=subject,
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=sequence + 1,
            ack_policy=AckPolicy.NONE,
            mem_storage=True,
            inactive_threshold=1.0,
        ),
    )
    assert first.time is not None
    age_seconds = (datetime.now(UTC) - first.time).total_seconds()
    return counter.num_pending or 0, max(age_seconds, 0.0)


async def _usage(connection: Client, org: Row) -> OrgUsage:
    try:
        usage = await call(connection, USAGE, UsageQuery(org_id=org["org_id"]), Usage, timeout_seconds=1.0)
    except (Refused, Unavailable):
        return OrgUsage(org_id=org["org_id"], name=org["name"])
    return OrgUsage(
        org_id=org["org_id"], name=org["name"], period=usage.period, used=usage.used, reserved=usage.reserved
    )
