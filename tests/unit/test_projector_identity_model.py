"""Identity as a state machine: whatever the history and its batching, the tables are what the rules say, one by one.

The rules stand here once more, as plainly as they can be said and with everything in memory; the projector's own are
written for speed, for batches, and for a database.
"""

import json
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from tests.support.histories import ORGS, Message, Tables, Worker, histories, project, stored
from tests.support.stored import founded
from wepeople_contracts.directory import OrgFounded, WorkersImported, normalize_email
from wepeople_contracts.envelope import AcceptedRow, Envelope
from wepeople_contracts.ids import worker_id
from wepeople_projections.identity import Conflicted, Identifier, Kind


def said(history: Sequence[Message]) -> Tables:
    """What the rules make of a history; without the snapshots."""
    tables = Tables()
    for sequence, message in enumerate(history, 1):
        if isinstance(message, WorkersImported):
            for entry in message.workers:
                names = [Identifier(message.org_id, "email", message.org_id, entry.email)]
                worker = tables.workers[message.org_id, whose(tables, names, sequence)]
                worker.in_directory, worker.name = True, entry.name or worker.name
        elif isinstance(message, Envelope):
            for row in message.accepted:
                say_row(tables, message, row, sequence)
    return tables


def say_row(tables: Tables, request: Envelope, row: AcceptedRow, sequence: int) -> None:
    if row.event_id in tables.events:
        return
    org, actor = request.org_id, json.loads(row.raw)["actor"]
    names = [Identifier(org, kind, scope, value) for kind, scope, value in strongest_first(request, actor)]
    found = whose(tables, names, sequence)
    connections = tables.workers[org, found].connections
    if request.connection not in connections:
        connections.append(request.connection)
    if request.kind == "events":
        tables.events[row.event_id] = (found, sequence, row.index)


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


def whose(tables: Tables, names: Sequence[Identifier], sequence: int) -> str:
    """The strongest name that is known says it; if none is, a worker is founded. The others bind, or are overruled."""
    known = [tables.find(name) for name in names]
    worker = next((found for found in known if found is not None), None)
    if worker is None:
        first = next((name for name in names if name.kind != "workerId"), names[0])
        worker = worker_id(founded(first.org_id).salt, first.kind, first.scope, first.value)
        tables.workers.setdefault((first.org_id, worker), Worker())
    row = tables.workers[names[0].org_id, worker]
    for name, found in zip(names, known, strict=True):
        if found is None and name.kind != "workerId":
            tables.bindings[name] = worker
            shown = row.emails if name.kind == "email" else row.external_ids
            if name.value not in shown:  # two apps may know somebody by the same id
                shown.append(name.value)
        elif found is None:
            tables.conflicts.setdefault(Conflicted(name, "unknown_worker_id", worker, None), sequence)
        elif found != worker:
            tables.conflicts.setdefault(Conflicted(name, "bound_to_another", worker, found), sequence)
    return worker


@given(histories, st.lists(st.integers(1, 5), max_size=12), st.booleans())
def test_workers_identifiers_conflicts_and_events_are_what_the_rules_say(
    history: list[Message], sizes: list[int], restarts: bool
) -> None:
    made, rules = project(stored(history), sizes, restarts=restarts), said(history)
    rules.snapshots = made.snapshots
    assert made == rules


@given(histories, st.sampled_from(ORGS))
def test_what_other_orgs_store_in_between_makes_no_difference(history: list[Message], org: str) -> None:
    everything = project(stored(history))
    alone = project([message for message in stored(history) if f".{org}." in message.subject])
    assert alone.workers == {key: row for key, row in everything.workers.items() if key[0] == org}
    assert alone.bindings == {name: worker for name, worker in everything.bindings.items() if name.org_id == org}
    assert alone.conflicts == {c: at for c, at in everything.conflicts.items() if c.identifier.org_id == org}
    assert alone.snapshots == {key: row for key, row in everything.snapshots.items() if key[0] == org}
    assert alone.events.items() <= everything.events.items()


@given(histories, histories)
def test_an_import_adopts_whoever_has_the_email_and_founds_nobody_then(
    before: list[Message], after: list[Message]
) -> None:
    history = [*before, *(message for message in after if not isinstance(message, OrgFounded))]
    tables = project(stored(history))
    for message in history:
        if isinstance(message, WorkersImported):
            for entry in message.workers:
                adopted = tables.bindings[Identifier(message.org_id, "email", message.org_id, entry.email)]
                assert tables.workers[message.org_id, adopted].in_directory
                assert entry.email in tables.workers[message.org_id, adopted].emails
