"""`wepeople request`: one request on its way, from its receipt to its rows, and plainly what is missing of it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from nats.aio.client import Client
from nats.js.errors import NotFoundError
from psycopg import AsyncConnection
from pydantic import BaseModel

from wepeople_chassis.operator import Operator, fail, operator_connection, run, show, stderr, stdout
from wepeople_chassis.stream import StreamError, stream_of
from wepeople_contracts.envelope import Envelope, decode
from wepeople_contracts.subjects import parse_ingest_subject, partition_of
from wepeople_projector.models.timeline import TimelineEvent
from wepeople_projector.reading import Row, read_models, rows
from wepeople_projector.tally import happened_at
from wepeople_projector.waiting import SearchTooLong, find_waiting

ROW_COLUMNS = ("index", "status", "event_id", "worker_id", "code", "message", "note")
_FACTS = (
    "org_id",
    "connection",
    "kind",
    "received_at",
    "sequence",
    "stored_at",
    "projected_at",
    "accepted",
    "rejected",
)


class RowTrace(BaseModel):
    """What became of one row; `worker_id` is whose event it is, where it is in the timeline."""

    index: int
    status: str
    event_id: str | None = None
    worker_id: str | None = None
    code: str | None = None
    field: str | None = None
    message: str | None = None
    retryable: bool | None = None
    note: str | None = None


class Trace(BaseModel):
    """One request; what is None has not happened, or cannot be known any more, and `notes` say why."""

    request_id: str
    org_id: str | None = None
    app_id: str | None = None
    connection: str | None = None
    kind: str | None = None
    received_at: datetime | None = None
    sequence: int
    stored_at: datetime | None = None
    projected_at: datetime | None = None
    accepted: int | None = None
    rejected: int | None = None
    results: list[RowTrace] = []
    notes: list[str] = []


def show_request(request_id: str, as_json: bool) -> None:
    """Print one request's trace; exit 1 when it was never stored."""

    async def work(operator: Operator) -> None:
        async with operator_connection(operator) as connection:
            try:
                trace = await find_request(operator, connection, request_id)
            except StreamError as error:
                fail(f"The stream cannot be read: {error}. Is the system provisioned?", 1)
        if as_json:
            print(trace.model_dump_json(indent=2))
            return
        fields = trace.model_dump(mode="json")
        show([{"": name, trace.request_id: fields[name]} for name in _FACTS], columns=("", request_id), as_json=False)
        if trace.results:
            stdout.print()
            show(trace.results, columns=ROW_COLUMNS, as_json=False)
        for note in trace.notes:
            stderr.print(note, style="yellow", markup=False, highlight=False)

    run(work)


async def find_request(operator: Operator, connection: Client, request_id: str) -> Trace:
    """Look in the read models, among what was parked, and in the part of the stream that waits to be projected."""
    async with read_models(operator) as models:
        # First: what is projected from now on is found below, or is after them.
        checkpoints = await rows(models, "checkpoints")
        found = await rows(models, "request", request_id=request_id)
        if found:
            [request] = found
            trace = Trace(**request)
            envelope = await _read(connection, trace, partition_of(request["org_id"]))
            if envelope is not None:
                event_ids = [row.event_id for row in envelope.accepted]
                events = {row["event_id"]: row for row in await rows(models, "events", event_ids=event_ids)}
                parked = await rows(models, "parked_rows", org_id=request["org_id"], sequence=trace.sequence)
                aside = {row["row_index"]: f"{row['status']}: {row['reason']}" for row in parked}
                trace.results = results_of(envelope, events, await _dropped(models, envelope) | aside)
            return trace
        parked = await rows(models, "parked_request", request_id=request_id)
    if parked:
        trace = Trace(request_id=request_id, sequence=parked[0]["sequence"])
        await _read(connection, trace, parse_ingest_subject(parked[0]["subject"]).partition)
        trace.notes.append(f"It could not be projected, and is kept in live.parked: {parked[0]['reason']}")
        return trace
    return await _find_waiting(connection, request_id, {row["partition"]: row["sequence"] for row in checkpoints})


def results_of(envelope: Envelope, events: dict[str, Row], aside: dict[int, str]) -> list[RowTrace]:
    """The rows in their order: as answered, and where the timeline has those that were accepted, or why not."""
    found = [RowTrace(index=row.index, status="rejected", **_reason(row)) for row in envelope.rejected]
    for row in envelope.accepted:
        result = RowTrace(index=row.index, status="duplicate" if row.duplicate else "accepted", event_id=row.event_id)
        event = events.get(row.event_id)
        if event is not None and (event["request_id"], event["row_index"]) == (envelope.request_id, row.index):
            result.worker_id = event["worker_id"]
        elif event is not None:
            result.note = f"first sent in {event['request_id']}, row {event['row_index']}"
        elif row.index in aside:
            result.note = aside[row.index]
        found.append(result)
    return sorted(found, key=lambda result: result.index)


async def _dropped(models: AsyncConnection[Row], envelope: Envelope) -> dict[int, str]:
    """The events that are older than the timeline is kept, by row."""
    kept = await rows(models, "kept", table=TimelineEvent.__table__.name)
    if not kept or envelope.kind != "events":
        return {}
    first = datetime.fromisoformat(kept[0]["kept_from"]).replace(tzinfo=UTC)
    said = f"happened before {first:%Y-%m-%d}, from when on the timeline is kept"
    return {row.index: said for row in envelope.accepted if happened_at(row.raw, envelope.received_at_us) < first}


def _reason(row: Any) -> dict[str, Any]:
    return {"code": row.code, "field": row.field, "message": row.message, "retryable": row.retryable}


async def _read(connection: Client, trace: Trace, partition: int) -> Envelope | None:
    """The envelope at the trace's sequence, whose receipt and storing it notes; None when the stream has it no more."""
    try:
        stream = await stream_of(connection, partition)
        stored = await connection.jetstream().get_msg(stream.name, trace.sequence)
    except NotFoundError:
        trace.notes.append(
            f"The stream no longer holds sequence {trace.sequence}: what became of each row is gone with it. "
            f"`wepeople rejects show {trace.request_id}` has rejected rows for 14 days."
        )
        return None
    trace.stored_at = stored.time
    return _fill(trace, stored.data or b"")


def _fill(trace: Trace, data: bytes) -> Envelope | None:
    try:
        envelope = decode(data)
    except ValueError as error:
        trace.notes.append(f"What is stored at sequence {trace.sequence} cannot be decoded: {error}")
        return None
    trace.org_id, trace.app_id, trace.connection = envelope.org_id, envelope.app_id, envelope.connection
    trace.kind = envelope.kind
    trace.received_at = datetime.fromtimestamp(envelope.received_at_us / 1_000_000, UTC)
    trace.accepted, trace.rejected = len(envelope.accepted), len(envelope.rejected)
    return envelope


async def _find_waiting(connection: Client, request_id: str, positions: Mapping[int, int]) -> Trace:
    try:
        stored = await find_waiting(connection, request_id, positions)
    except SearchTooLong:
        fail(
            f"{request_id} is not projected yet, if it was stored: so much waits to be projected that to search all of "
            "it would take too long. `wepeople status` says how far the projector is.",
            1,
        )
    if stored is None:
        fail(
            f"No request {request_id} was stored. Answers 401, 402, 413, 415, 429 and 5xx store nothing; nor does a "
            "replay, whose body names the request that was stored.",
            1,
        )
    trace = Trace(request_id=request_id, sequence=stored.sequence)
    trace.stored_at = datetime.fromtimestamp(stored.stored_at_ns / 1_000_000_000, UTC)
    envelope = _fill(trace, stored.data)
    trace.results = results_of(envelope, {}, {}) if envelope is not None else []
    trace.notes.append("It is not projected yet. `wepeople status` says how far the projector is.")
    return trace
