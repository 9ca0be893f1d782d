"""A command: one request as received, and what becomes of it. Pure: bytes in, an envelope out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from wepeople_contracts.auth import Principal
from wepeople_contracts.envelope import AcceptedRow, Charge, Envelope, RejectedRow
from wepeople_contracts.errors import RowError
from wepeople_contracts.ids import client_event_id, event_id
from wepeople_contracts.quota import Granted
from wepeople_gateway.errors import ApiError, MalformedBody
from wepeople_gateway.ingest.decide import Bad, Good, Judged, judge_events, judge_snapshot
from wepeople_gateway.ingest.decode import check_snapshot, split_events
from wepeople_gateway.ingest.rules import scan


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
    as a whole from being understood, `wait_projected` that the answer waits until the rows are visible.
    """

    endpoint: Endpoint
    principal: Principal
    request_id: str
    message_id: str
    received_at_us: int
    body: bytes
    fingerprint: bytes
    problem: str | None
    wait_projected: bool = False


class Price(NamedTuple):
    """What a request needs of the month: `units` rows without an id of their sender's, and the ids of the others."""

    units: int
    event_ids: list[str]


def judge(command: Command) -> Judged | MalformedBody:
    """The rows, judged; or what is wrong with the request as a whole, to be answered once quota has had its say."""
    if command.problem is not None:
        return MalformedBody(command.problem)
    received_at = datetime.fromtimestamp(command.received_at_us / 1_000_000, UTC)
    try:
        return command.endpoint.judge(command.body, command.principal, received_at)
    except MalformedBody as problem:
        return problem


def price(command: Command, judged: Judged | MalformedBody) -> Price:
    """What to ask quota for."""
    if isinstance(judged, MalformedBody) or not command.endpoint.costs_events:
        return Price(0, [])
    named = [row.client_id for row in judged.accepted if row.client_id is not None]
    app_id = command.principal.app_id
    event_ids = list(dict.fromkeys(client_event_id(app_id, client_id) for client_id in named))
    return Price(len(judged.accepted) - len(named), event_ids)


def seal(command: Command, judged: Judged, granted: Granted) -> Envelope:
    """The envelope of what was judged, trimmed to what the month allows; `ApiError` plan_limit when that is nothing."""
    if command.endpoint.costs_events:
        accepted, over, charge = _charge(command, judged.accepted, granted)
    else:
        accepted = [AcceptedRow(row.index, event_id(command.request_id, row.index), row.raw) for row in judged.accepted]
        over, charge = [], Charge(granted.period, 0, granted.epoch)
    rejected = judged.rejected
    if over:
        full = _plan_limit(granted, nothing_fits=not accepted)
        rejected = sorted([*rejected, *(Bad(row.index, row.raw, full) for row in over)], key=lambda row: row.index)
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
        charge=charge,
        accepted=accepted,
        rejected=[
            RejectedRow(row.index, e.code, e.message, e.field, e.retryable, row.raw)
            for row in rejected
            for e in (row.error,)
        ],
    )


def _charge(
    command: Command, rows: Sequence[Good], granted: Granted
) -> tuple[list[AcceptedRow], Sequence[Good], Charge]:
    """The rows that the month has room for, in order, those that it has not, and what the former cost.

    A row whose id is known, from earlier or from this request, costs nothing.
    """
    app_id, left = command.principal.app_id, granted.units
    known = set(granted.known_event_ids)
    accepted: list[AcceptedRow] = []
    over: list[Good] = []
    charged: list[str] = []
    for row in rows:
        named = row.client_id is not None
        id_ = (
            client_event_id(app_id, row.client_id)
            if row.client_id is not None
            else event_id(command.request_id, row.index)
        )
        duplicate = named and id_ in known
        if not duplicate and left == 0:
            over.append(row)
            continue
        if not duplicate:
            left -= 1
            if named:
                known.add(id_)
                charged.append(id_)
        accepted.append(AcceptedRow(row.index, id_, row.raw, named, duplicate))
    return accepted, over, Charge(granted.period, granted.units - left, granted.epoch, charged)


def _plan_limit(granted: Granted, *, nothing_fits: bool) -> RowError:
    resets_at = granted.month_resets_at.isoformat().replace("+00:00", "Z")
    message = f"The plan's events of this month are used up; upgrade, or send again after {resets_at}."
    if nothing_fits:
        raise ApiError("plan_limit", message, {"resetAt": resets_at})
    return RowError("plan_limit", message)


def _judge_events(body: bytes, principal: Principal, now: datetime) -> Judged:
    rows = split_events(body)
    return judge_events(rows, allowed=principal.allowed_event_types, now=now, suspicions=scan(body))


def _judge_snapshot(body: bytes, principal: Principal, now: datetime) -> Judged:
    return judge_snapshot(check_snapshot(body), now=now)


EVENTS = Endpoint("events", _judge_events, costs_events=True)
SNAPSHOTS = Endpoint("snapshot", _judge_snapshot, costs_events=False)
