"""What a message becomes in `live`: rows, or something parked; never an exception, never nothing."""

from hypothesis import given
from hypothesis import strategies as st

from tests.support.folding import build, rows_of
from tests.support.histories import Message, histories, stored
from tests.support.stored import (
    RECEIVED_AT_US,
    app_created,
    data_of,
    envelope,
    founded,
    id_of,
    imported,
    raw,
    subject_of,
)
from wepeople_chassis.stream import StoredMessage
from wepeople_contracts.directory import DirectoryFact
from wepeople_contracts.envelope import Envelope
from wepeople_contracts.ids import worker_id
from wepeople_contracts.subjects import partition_of
from wepeople_projections.batch.tables import MemoryTables
from wepeople_projections.definition.projection import define
from wepeople_projections.folding.parked import WHOLE_MESSAGE
from wepeople_projector.models.live import Live
from wepeople_projector.models.requests import StoredRequest
from wepeople_projector.models.timeline import TimelineEvent
from wepeople_projector.models.workers import IdentityConflict, Worker

ORG = "org_a"
LIVE = define(Live)
EVENT = {"eventType": "deploy.shipped", "category": "code", "actor": {"externalId": "eng-17"}}


def message(content: Envelope | DirectoryFact, sequence: int = 1) -> StoredMessage:
    return StoredMessage(sequence, subject_of(content), id_of(content), 0, data_of(content))


def project(*messages: StoredMessage) -> MemoryTables:
    """The tables after one batch of these messages."""
    return build(LIVE, messages, [len(messages)])


def test_a_row_becomes_an_event_of_its_worker_with_its_metadata_untouched() -> None:
    metadata = b'{ "a": 1, "a": 1.0 }'
    request = envelope(ORG, [raw(EVENT)[:-1] + b', "duration": 612, "metadata": ' + metadata + b"}"])
    assert rows_of(project(message(founded(ORG)), message(request, 2)), TimelineEvent) == [
        TimelineEvent(
            org_id=ORG,
            app_id="app_1",
            connection="custom:ci",
            request_id=request.request_id,
            sequence=2,
            received_at=request.received_at_us,
            event_id=request.accepted[0].event_id,
            worker_id=worker_id(founded(ORG).salt, "externalId", "app_1", "eng-17"),
            row_index=0,
            event_type="deploy.shipped",
            category="code",
            occurred_at=request.received_at_us,
            duration=612.0,
            metadata=metadata,
            metadata_raw=metadata,
        )
    ]


def test_a_request_is_a_row_that_counts_its_own() -> None:
    request = envelope(ORG, [raw(EVENT)] * 2)
    [row] = rows_of(project(message(founded(ORG)), message(request, 2)), StoredRequest)
    assert (row.request_id, row.sequence, row.received_at) == (request.request_id, 2, request.received_at_us)
    assert (row.kind, row.accepted, row.rejected, row.partition) == ("events", 2, 0, partition_of(ORG))


def test_an_import_adopts_the_worker_that_has_the_email_and_founds_the_others() -> None:
    request = envelope(ORG, [raw(EVENT | {"actor": {"externalId": "eng-17", "email": "Alex@acme.com"}})])
    tables = project(
        message(founded(ORG)),
        message(request, 2),
        message(imported(ORG, ("alex@acme.com", "Alex"), ("bo@acme.com", "")), 3),
    )
    salt = founded(ORG).salt
    alex, bo = (
        workers_of(tables)[worker_id(salt, *named)]
        for named in (("externalId", "app_1", "eng-17"), ("email", ORG, "bo@acme.com"))
    )
    assert alex == Worker(
        org_id=ORG,
        worker_id=alex.worker_id,
        name="Alex",
        emails=["alex@acme.com"],
        external_ids=["eng-17"],
        connections=["custom:ci"],
        in_directory=True,
        first_seen_at=request.received_at_us,
    )
    assert (bo.name, bo.in_directory, bo.connections, bo.first_seen_at) == (None, True, [], RECEIVED_AT_US)


def workers_of(tables: MemoryTables) -> dict[str, Worker]:
    return {worker.worker_id: worker for worker in rows_of(tables, Worker)}


def test_a_later_import_without_a_name_keeps_the_name() -> None:
    imports = (imported(ORG, ("alex@acme.com", "Alex")), imported(ORG, ("alex@acme.com", "")))
    tables = project(message(founded(ORG)), *(message(one, n) for n, one in enumerate(imports, 2)))
    assert [worker.name for worker in rows_of(tables, Worker)] == ["Alex"]


def test_the_first_founding_of_an_org_keys_its_workers_for_good() -> None:
    tables = project(
        message(founded(ORG)), message(founded(ORG, b"another"), 2), message(envelope(ORG, [raw(EVENT)]), 3)
    )
    assert tables.salts() == {ORG: founded(ORG).salt}
    assert worker_id(founded(ORG).salt, "externalId", "app_1", "eng-17") in workers_of(tables)


def test_a_fact_that_is_stored_twice_leaves_what_it_left_once() -> None:
    """As it may be over a split in a cluster, before the org's next fact."""
    request = envelope(ORG, [raw(EVENT | {"actor": {"externalId": "eng-17", "email": "alex@acme.com"}})])
    facts: tuple[DirectoryFact, ...] = (
        founded(ORG),
        app_created(ORG, "app_1"),
        imported(ORG, ("alex@acme.com", "Alex"), ("bo@acme.com", "")),
    )
    again = [fact for fact in facts for _ in range(2)]
    once, twice = (
        project(*(message(content, n) for n, content in enumerate(contents, 1)))
        for contents in ((*facts, request), (*again, request, facts[-1]))
    )
    assert rows_of(once, Worker) == rows_of(twice, Worker)
    assert (once.salts(), rows_of(once, IdentityConflict)) == (twice.salts(), rows_of(twice, IdentityConflict))
    assert len(rows_of(twice, TimelineEvent)) == 1


def test_what_belongs_to_an_org_that_was_never_founded_is_parked_whole() -> None:
    request = message(envelope(ORG, [raw(EVENT)]), 5)
    tables = project(request)
    [parked] = tables.parked
    assert (parked.message, parked.row_index, parked.org_id) == (request, WHOLE_MESSAGE, ORG)
    assert "never founded" in parked.reason
    assert not rows_of(tables, TimelineEvent)
    assert not rows_of(tables, StoredRequest)


def test_one_bad_row_is_parked_and_harms_no_other() -> None:
    nobody = raw(EVENT | {"actor": {"externalId": "nul\0"}})
    request = envelope(ORG, [raw(EVENT), b'{"no": "row"}', nobody, raw(EVENT)])
    tables = project(message(founded(ORG)), message(request, 2))
    assert sorted(event.row_index for event in rows_of(tables, TimelineEvent)) == [0, 3]
    assert sorted((parked.message.sequence, parked.row_index) for parked in tables.parked) == [(2, 1), (2, 2)]


def test_a_row_without_metadata_and_duration_has_none() -> None:
    [event] = rows_of(project(message(founded(ORG)), message(envelope(ORG, [raw(EVENT)]), 2)), TimelineEvent)
    assert (event.metadata, event.metadata_raw, event.duration) == (None, None, None)


@given(histories, st.lists(st.integers(1, 5), max_size=12), st.booleans())
def test_any_batching_gives_the_same_tables(history: list[Message], sizes: list[int], restarts: bool) -> None:
    made, whole = build(LIVE, stored(history), sizes, restarts=restarts), build(LIVE, stored(history), [len(history)])
    for spec in LIVE.tables:
        assert made.rows(spec) == whole.rows(spec)
