"""What the commands do: each asks once, as the operator, and prints."""

from typing import Any

from wepeople_chassis.operator import Operator, fail, operator_connection, run, show, stderr
from wepeople_chassis.stream import StreamError
from wepeople_projector.history import point_of, rows_at
from wepeople_projector.reading import find_org, find_worker, read_models, rows
from wepeople_projector.status import StreamStatus, collect_status

CONFLICT_COLUMNS = ("found_at", "reason", "kind", "value", "worker_id", "other_worker_id")
WORKER_COLUMNS = ("worker_id", "name", "emails", "external_ids", "connections", "in_directory", "first_seen_at")
TIMELINE_COLUMNS = ("occurred_at", "connection", "event_type", "category", "duration", "metadata_raw")
STREAM_COLUMNS = (
    *("name", "partitions", "messages", "size_bytes", "limit_bytes"),
    *("first_sequence", "last_sequence", "copies"),
)
SNAPSHOT_COLUMNS = ("connection", "snapshot_type", "observed_at", "metrics")


def list_workers(org: str, as_json: bool) -> None:
    """An org's workers."""

    async def work(operator: Operator) -> None:
        async with read_models(operator) as models:
            org_id = await find_org(models, org)
            found = await rows(models, "workers_of_org", org_id=org_id)
        show(found, columns=WORKER_COLUMNS, as_json=as_json, empty=f"Nobody is known in {org} yet.")

    run(work)


def list_conflicts(org: str, as_json: bool) -> None:
    """Where identifiers of an org disagreed."""

    async def work(operator: Operator) -> None:
        async with read_models(operator) as models:
            found = await rows(models, "conflicts", org_id=await find_org(models, org))
        show(found, columns=CONFLICT_COLUMNS, as_json=as_json, empty=f"No identifiers in {org} ever disagreed.")

    run(work)


def show_worker(worker: str, at: str | None, as_json: bool) -> None:
    """One worker."""
    _show_of_worker(worker, "worker", WORKER_COLUMNS, at, as_json)


def show_timeline(worker: str, limit: int, at: str | None, as_json: bool) -> None:
    """A worker's newest events."""
    _show_of_worker(worker, "timeline", TIMELINE_COLUMNS, at, as_json, limit=limit)


def show_snapshots(worker: str, at: str | None, as_json: bool) -> None:
    """A worker's latest snapshots."""
    _show_of_worker(worker, "snapshots", SNAPSHOT_COLUMNS, at, as_json)


def show_status(as_json: bool) -> None:
    """How the running system is."""

    async def work(operator: Operator) -> None:
        try:
            async with operator_connection(operator) as connection:
                status = await collect_status(operator, connection)
        except StreamError as error:
            fail(f"The stream cannot be read: {error}. Is the system provisioned?", 1)
        if as_json:
            print(status.model_dump_json(indent=2))
            return
        show([_stream(stream) for stream in status.streams], columns=STREAM_COLUMNS, as_json=False)
        show(status.projections, columns=("projection", "lag_messages", "lag_seconds", "parked"), as_json=False)
        usage_columns = ("org_id", "name", "period", "used", "reserved")
        show(status.usage, columns=usage_columns, as_json=False, empty="No orgs yet.")
        show(status.services, columns=("service", "ready"), as_json=False)
        for note in status.notes:
            stderr.print(note, style="red", markup=False)

    run(work)


def _stream(stream: StreamStatus) -> dict[str, Any]:
    return stream.model_dump() | {"partitions": len(stream.partitions)}


def _show_of_worker(
    worker: str, query: str, columns: tuple[str, ...], at: str | None, as_json: bool, **parameters: Any
) -> None:
    """What the read models say of a worker; with `at`, what they said there."""

    point = None if at is None else point_of(at)

    async def work(operator: Operator) -> None:
        async with read_models(operator) as models:
            named = await find_worker(models, worker, names_of_now=point is not None)
            found = [] if point else await rows(models, query, **named, **parameters)
        if point:
            found = await rows_at(operator, query, named, point, **parameters)
        then = f" at {at}" if point else " yet"
        show(found, columns=columns, as_json=as_json, empty=f"Nothing of {named['worker_id']} here{then}.")

    run(work)
