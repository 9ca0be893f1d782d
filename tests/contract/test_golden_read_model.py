"""What a projection makes of the golden history stays as it is, to the byte: `golden/v1/read_model.txt`."""

from pathlib import Path
from typing import Any

from tests.contract.test_golden_messages import GOLDEN, read, said
from wepeople_chassis.stream import StoredMessage
from wepeople_contracts.envelope import Envelope
from wepeople_projections import (
    Event,
    Fact,
    Identified,
    Operation,
    Projection,
    Reject,
    Request,
    Row,
    Snapshot,
    insert,
    on_event,
    on_fact,
    on_identified,
    on_reject,
    on_request,
    on_snapshot,
    table,
)
from wepeople_projections.definition.projection import define
from wepeople_projections.kit.build import Build, plans

_SECOND_NS = 1_000_000_000
_MICROSECOND_NS = 1000


@table(key=("line",))
class Line(Row, frozen=True):
    """What a handler was given, written out."""

    line: str


class Chronicle(Projection):
    """Writes out all that any handler can be given."""

    name = "chronicle"
    version = 1
    tables = (Line,)

    @on_request()
    def request(self, it: Request) -> Operation:
        counts = (it.accepted, it.rejected)
        return line(
            it, "request", it.sequence, it.request_id, it.kind, it.connection, it.received_at, it.stored_at_us, *counts
        )

    @on_reject()
    def reject(self, it: Reject) -> Operation:
        row = it.row
        return line(
            it.request,
            "reject",
            it.request.sequence,
            row.index,
            row.code,
            row.message,
            row.field,
            row.retryable,
            row.raw,
        )

    @on_event()
    def event(self, it: Event) -> Operation:
        place = (it.request.sequence, it.index, it.event_id, it.worker_id)
        return line(it, "event", *place, it.event_type, it.category, it.occurred_at, it.duration, it.metadata_raw)

    @on_snapshot()
    def snapshot(self, it: Snapshot) -> Operation:
        place = (it.request.sequence, it.event_id, it.worker_id)
        return line(it, "snapshot", *place, it.snapshot_type, it.observed_at, it.metrics_raw)

    @on_fact()
    def fact(self, it: Fact) -> Operation:
        return line(it, "fact", it.sequence, it.stored_at_us, it.body.fact_id, type(it.body).__name__)

    @on_identified()
    def identified(self, it: Identified) -> list[Operation]:
        bound = [tuple(identifier) for identifier in it.bound]
        conflicts = [(tuple(c.identifier), c.reason, c.worker_id, c.other) for c in it.conflicts]
        if not it.founded and not bound and not conflicts and it.imported_name is None:
            # It may come more than once for what is known already.
            return []
        return [
            line(
                it,
                "identified",
                it.sequence,
                it.worker_id,
                it.founded,
                bound,
                conflicts,
                it.connection,
                it.imported_name,
            )
        ]


def line(it: Any, *said: object) -> Operation:
    return insert(Line(it.org_id, " | ".join(map(str, said))))


def message(path: Path) -> StoredMessage:
    """As the stream has it: the file's number is its sequence, and it was stored a second after its own time."""
    body = read(path)
    own_us, message_id = (
        (body.received_at_us, body.message_id) if isinstance(body, Envelope) else (body.occurred_at_us, body.fact_id)
    )
    stored_at_ns = own_us * _MICROSECOND_NS + _SECOND_NS
    return StoredMessage(int(path.name[:2]), said(path)["subject"], message_id, stored_at_ns, path.read_bytes())


def chronicle(folder: Path) -> list[str]:
    history = [message(path) for path in sorted(folder.glob("*.bin"))]
    found: list[list[str]] = []
    for plan in plans(history):
        build = Build(define(Chronicle)).run(plan)
        parked = [f"parked | {s} | {index} | {row.reason}" for (s, index), row in build.parked().items()]
        found.append([row.line for row in build.rows()[Line]] + parked)  # type: ignore[attr-defined]
    assert all(lines == found[0] for lines in found)
    return found[0]


def test_the_golden_history_of_version_1_makes_the_same_read_model_as_when_it_was_released() -> None:
    folder = GOLDEN / "v1"
    assert chronicle(folder) == (folder / "read_model.txt").read_text("utf-8").splitlines()
