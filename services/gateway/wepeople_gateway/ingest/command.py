"""A command: one request as received, and what becomes of it. Pure: bytes in, an envelope out."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from wepeople_contracts.auth import Principal
from wepeople_contracts.envelope import AcceptedRow, Charge, Envelope, RejectedRow
from wepeople_contracts.errors import RowError
from wepeople_contracts.ids import event_id
from wepeople_contracts.quota import Granted
from wepeople_gateway.errors import ApiError, MalformedBody
from wepeople_gateway.ingest.decide import Judged, judge_events, judge_snapshot
from wepeople_gateway.ingest.decode import check_snapshot, split_events


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What distinguishes the two writes: the kind of message, how a body is judged, and whether rows cost events."""

    kind: Literal["events", "snapshot"]
    judge: Callable[[bytes, Principal, datetime], Judged]
    costs_events: bool


@dataclass(frozen=True, slots=True)
class Command:
    """One request, received: who sends it, its body, and under which id it is stored.

    `received_at_us` is microseconds since 1970 UTC, `fingerprint` the body's SHA-256, `problem` what keeps the request
    as a whole from being understood.
    """

    endpoint: Endpoint
    principal: Principal
    request_id: str
    message_id: str
    received_at_us: int
    body: bytes
    fingerprint: bytes
    problem: str | None


def judge(command: Command) -> Judged | MalformedBody:
    """The rows, judged; or what is wrong with the request as a whole, to be answered once quota has had its say."""
    if command.problem is not None:
        return MalformedBody(command.problem)
    received_at = datetime.fromtimestamp(command.received_at_us / 1_000_000, UTC)
    try:
        return command.endpoint.judge(command.body, command.principal, received_at)
    except MalformedBody as problem:
        return problem


def seal(command: Command, judged: Judged, granted: Granted) -> Envelope:
    """The envelope of what was judged, trimmed to what the month allows; `ApiError` plan_limit when that is nothing."""
    fits, rejected = judged.accepted, judged.rejected
    if command.endpoint.costs_events and granted.units < len(fits):
        full = _plan_limit(granted)
        rejected = rejected + [(index, raw, full) for index, raw in fits[granted.units :]]
        rejected.sort(key=lambda row: row[0])
        fits = fits[: granted.units]
    principal = command.principal
    return Envelope(
        kind=command.endpoint.kind,
        request_id=command.request_id,
        message_id=command.message_id,
        org_id=principal.org_id,
        app_id=principal.app_id,
        connection=principal.connection,
        key_id=principal.key_id,
        received_at_us=command.received_at_us,
        fingerprint=command.fingerprint,
        charge=Charge(granted.period, len(fits) if command.endpoint.costs_events else 0, granted.epoch),
        accepted=[AcceptedRow(index, event_id(command.request_id, index), raw) for index, raw in fits],
        rejected=[
            RejectedRow(index, error.code, error.message, error.field, error.retryable, raw)
            for index, raw, error in rejected
        ],
    )


def _plan_limit(granted: Granted) -> RowError:
    resets_at = granted.month_resets_at.isoformat().replace("+00:00", "Z")
    message = f"The plan's events of this month are used up; upgrade, or send again after {resets_at}."
    if granted.units == 0:
        raise ApiError("plan_limit", message, {"resetAt": resets_at})
    return RowError("plan_limit", message)


def _judge_events(body: bytes, principal: Principal, now: datetime) -> Judged:
    return judge_events(split_events(body), allowed=principal.allowed_event_types, now=now)


def _judge_snapshot(body: bytes, principal: Principal, now: datetime) -> Judged:
    return judge_snapshot(check_snapshot(body), now=now)


EVENTS = Endpoint("events", _judge_events, costs_events=True)
SNAPSHOTS = Endpoint("snapshot", _judge_snapshot, costs_events=False)
