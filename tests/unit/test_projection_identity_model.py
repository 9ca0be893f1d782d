"""Identity as a state machine: whatever the history and its batching, the tables are what the rules say, one by one.

The rules stand here once more, as plainly as they can be said and with everything in memory; the library's own are
written for speed, for batches, and for a database.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from tests.support.folding import EVERYTHING_KEPT, Disagreement, Happened, Person, build, rows_of
from tests.support.histories import Message, histories, stored
from tests.support.stored import founded
from wepeople_contracts.directory import OrgFounded, WorkersImported, normalize_email
from wepeople_contracts.envelope import AcceptedRow, Envelope
from wepeople_contracts.ids import worker_id
from wepeople_projections.batch.tables import MemoryTables
from wepeople_projections.folding.identity import Identifier, Kind

Conflict = tuple[Identifier, str, str]
"""The identifier, why, and the worker who got the row."""


@dataclass
class Worker:
    name: str | None = None
    in_directory: bool = False
    emails: list[str] = field(default_factory=list)
    external_ids: list[str] = field(default_factory=list)
    connections: list[str] = field(default_factory=list)


@dataclass
class Known:
    """Conflicts have whom else the identifier belongs to, and the first sequence; events their worker and place."""

    bindings: dict[Identifier, str] = field(default_factory=dict)
    workers: dict[tuple[str, str], Worker] = field(default_factory=dict)
    conflicts: dict[Conflict, tuple[str | None, int]] = field(default_factory=dict)
    events: dict[str, tuple[str, int, int]] = field(default_factory=dict)

    def find(self, identifier: Identifier) -> str | None:
        if identifier.kind == "workerId":
            return identifier.value if (identifier.org_id, identifier.value) in self.workers else None
        return self.bindings.get(identifier)


def said(history: Sequence[Message]) -> Known:
    """What the rules make of a history; without the snapshots' contents."""
    known = Known()
    for sequence, message in enumerate(history, 1):
        if isinstance(message, WorkersImported):
            for entry in message.workers:
                names = [Identifier(message.org_id, "email", message.org_id, entry.email)]
                worker = known.workers[message.org_id, whose(known, names, sequence)]
                worker.in_directory, worker.name = True, entry.name or worker.name
        elif isinstance(message, Envelope):
            for row in message.accepted:
                say_row(known, message, row, sequence)
    return known


def say_row(known: Known, request: Envelope, row: AcceptedRow, sequence: int) -> None:
    if row.event_id in known.events:
        return
    org, actor = request.org_id, json.loads(row.raw)["actor"]
    names = [Identifier(org, kind, scope, value) for kind, scope, value in strongest_first(request, actor)]
    found = whose(known, names, sequence)
    connections = known.workers[org, found].connections
    if request.connection not in connections:
        connections.append(request.connection)
    if request.kind == "events":
        known.events[row.event_id] = (found, sequence, row.index)


def strongest_first(request: Envelope, actor: dict[str, str]) -> list[tuple[Kind, str, str]]:
    """workerId and email are the org's, externalId is the app's; emails are compared trimmed and case-folded."""
    org, app = request.org_id, request.app_id
    offered: list[tuple[Kind, str, str | None]] = [
        ("workerId", org, actor.get("workerId")),
        ("externalId", app, actor.get("externalId")),
        ("email", org, actor.get("email")),
    ]
    return [
        (kind, scope, normalize_email(value) if kind == "email" else value)
        for kind, scope, value in offered
        if value is not None
    ]


def whose(known: Known, names: Sequence[Identifier], sequence: int) -> str:
    """The strongest name that is known says it; if none is, a worker is founded. The others bind, or are overruled."""
    before = [known.find(name) for name in names]
    worker = next((found for found in before if found is not None), None)
    if worker is None:
        first = next((name for name in names if name.kind != "workerId"), names[0])
        worker = worker_id(founded(first.org_id).salt, first.kind, first.scope, first.value)
        known.workers.setdefault((first.org_id, worker), Worker())
    row = known.workers[names[0].org_id, worker]
    for name, found in zip(names, before, strict=True):
        if found is None and name.kind != "workerId":
            known.bindings[name] = worker
            shown = row.emails if name.kind == "email" else row.external_ids
            if name.value not in shown:  # two apps may know somebody by the same id
                shown.append(name.value)
        elif found is None:
            known.conflicts.setdefault((name, "unknown_worker_id", worker), (None, sequence))
        elif found != worker:
            known.conflicts.setdefault((name, "bound_to_another", worker), (found, sequence))
    return worker


def made(tables: MemoryTables, names: Sequence[Identifier]) -> Known:
    """The same, as the tables have it."""
    known = Known()
    known.bindings = {name: worker for name, worker in tables.bindings(names).items() if worker is not None}
    for person in rows_of(tables, Person):
        known.workers[person.org_id, person.worker_id] = Worker(
            person.name, person.in_directory, person.emails, person.external_ids, person.connections
        )
    for row in rows_of(tables, Disagreement):
        kind: Kind = row.kind  # type: ignore[assignment]
        name = Identifier(row.org_id, kind, row.scope, row.value)
        known.conflicts[name, row.reason, row.worker_id] = (row.other, row.sequence)
    for event in rows_of(tables, Happened):
        known.events[event.event_id] = (event.worker_id, event.sequence, event.row_index)
    return known


@given(histories, st.lists(st.integers(1, 5), max_size=12), st.booleans())
def test_workers_identifiers_conflicts_and_events_are_what_the_rules_say(
    history: list[Message], sizes: list[int], restarts: bool
) -> None:
    rules = said(history)
    assert made(build(EVERYTHING_KEPT, stored(history), sizes, restarts=restarts), list(rules.bindings)) == rules


@given(histories, histories)
def test_an_import_adopts_whoever_has_the_email_and_founds_nobody_then(
    before: list[Message], after: list[Message]
) -> None:
    history = [*before, *(message for message in after if not isinstance(message, OrgFounded))]
    tables = build(EVERYTHING_KEPT, stored(history))
    people = {(person.org_id, person.worker_id): person for person in rows_of(tables, Person)}
    for message in history:
        if isinstance(message, WorkersImported):
            for entry in message.workers:
                identifier = Identifier(message.org_id, "email", message.org_id, entry.email)
                adopted = tables.bindings([identifier])[identifier]
                assert adopted is not None
                assert people[message.org_id, adopted].in_directory
                assert entry.email in people[message.org_id, adopted].emails
