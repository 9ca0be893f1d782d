"""What a message becomes: rows, or something parked; never an exception, never nothing."""

import msgspec
import pytest

from tests.support.stored import RECEIVED_AT_US, data_of, envelope, founded, id_of, imported, raw, subject_of
from wepeople_chassis.stream import StoredMessage
from wepeople_contracts.directory import DirectoryFact
from wepeople_contracts.envelope import ENVELOPE_VERSION, Envelope, encode
from wepeople_contracts.ids import worker_id
from wepeople_contracts.subjects import ingest_subject
from wepeople_projector.decode import WHOLE_MESSAGE, decode
from wepeople_projector.fold import Changeset, Fold
from wepeople_projector.memory import Memory
from wepeople_projector.projections.timeline.rows import TimelineRow

ORG = "org_a"
EVENT = {"eventType": "deploy.shipped", "category": "code", "actor": {"externalId": "eng-17"}}


def message(content: Envelope | DirectoryFact, sequence: int = 1) -> StoredMessage:
    return StoredMessage(sequence, subject_of(content), id_of(content), 0, data_of(content))


def fold(*messages: StoredMessage) -> Changeset:
    """The changes of these messages on an empty database."""
    batch = Fold(Memory({}), map(decode, messages))
    identifiers, _ = batch.unknown()
    batch.begin(dict.fromkeys(identifiers), set())
    for decoded in batch.messages:
        batch.apply(decoded)
    return batch.changes


def test_a_row_becomes_an_event_of_its_worker_with_its_metadata_untouched() -> None:
    metadata = b'{ "a": 1, "a": 1.0 }'
    request = envelope(ORG, [raw(EVENT)[:-1] + b', "duration": 612, "metadata": ' + metadata + b"}"])
    [block] = fold(message(founded(ORG)), message(request, 2)).timeline
    worker = worker_id(founded(ORG).salt, "externalId", "app_1", "eng-17")
    event_id = request.accepted[0].event_id
    at_us = request.received_at_us
    assert block.rows == [TimelineRow(event_id, worker, 0, "deploy.shipped", "code", at_us, 612.0, metadata)]
    assert (block.org_id, block.app_id, block.connection) == (ORG, "app_1", "custom:ci")
    assert (block.request_id, block.sequence, block.received_at_us) == (request.request_id, 2, at_us)


def test_an_import_adopts_the_worker_that_has_the_email_and_founds_the_others() -> None:
    request = envelope(ORG, [raw(EVENT | {"actor": {"externalId": "eng-17", "email": "Alex@acme.com"}})])
    changes = fold(
        message(founded(ORG)), message(request), message(imported(ORG, ("alex@acme.com", "Alex"), ("bo@acme.com", "")))
    )
    salt = founded(ORG).salt
    alex = changes.workers.changed[ORG, worker_id(salt, "externalId", "app_1", "eng-17")]
    bo = changes.workers.changed[ORG, worker_id(salt, "email", ORG, "bo@acme.com")]
    assert (alex.name, alex.in_directory, alex.emails, alex.external_ids) == (
        "Alex",
        True,
        ["alex@acme.com"],
        ["eng-17"],
    )
    assert alex.founded_at_us == request.received_at_us
    assert (bo.name, bo.in_directory, bo.connections, bo.founded_at_us) == ("", True, [], RECEIVED_AT_US)


def test_a_later_import_without_a_name_keeps_the_name() -> None:
    imports = (imported(ORG, ("alex@acme.com", "Alex")), imported(ORG, ("alex@acme.com", "")))
    changes = fold(message(founded(ORG)), *map(message, imports))
    assert [worker.name for worker in changes.workers.changed.values()] == ["Alex"]


def test_the_first_founding_of_an_org_keys_its_workers_for_good() -> None:
    changes = fold(message(founded(ORG)), message(founded(ORG, b"another")), message(envelope(ORG, [raw(EVENT)])))
    assert [org.salt for org in changes.orgs] == [founded(ORG).salt]
    assert worker_id(founded(ORG).salt, "externalId", "app_1", "eng-17") in {w for _, w in changes.workers.changed}


def test_what_belongs_to_an_org_that_was_never_founded_is_parked_whole() -> None:
    request = message(envelope(ORG, [raw(EVENT)]), 5)
    changes = fold(request)
    [parked] = changes.parked
    assert (parked.sequence, parked.row_index, parked.data) == (5, WHOLE_MESSAGE, request.data)
    assert "never founded" in parked.reason
    assert not changes.timeline


@pytest.mark.parametrize(
    ("subject", "data", "reason"),
    [
        (ingest_subject(ORG, "app_1", "events"), b"not an envelope", "cannot be decoded"),
        (ingest_subject(ORG, "app_1", "events"), b"", "cannot be decoded"),
        (ingest_subject(ORG, "-", "directory"), b"\x80", "cannot be decoded"),
        (ingest_subject("org_b", "app_1", "events"), encode(envelope(ORG, [raw(EVENT)])), "org_b"),
        (ingest_subject(ORG, "app_1", "snapshot"), encode(envelope(ORG, [raw(EVENT)])), "kind"),
        (
            ingest_subject(ORG, "app_1", "events"),
            encode(msgspec.structs.replace(envelope(ORG, []), version=ENVELOPE_VERSION + 1)),
            "upgrade first",
        ),
        ("ingest.0.org_a.events", b"", "not a subject"),
    ],
)
def test_a_message_that_is_not_what_its_subject_says_is_parked_with_the_reason(
    subject: str, data: bytes, reason: str
) -> None:
    [parked] = fold(message(founded(ORG)), StoredMessage(2, subject, "id", 0, data)).parked
    assert (parked.sequence, parked.subject, parked.data) == (2, subject, data)
    assert reason in parked.reason


def test_one_bad_row_is_parked_and_harms_no_other() -> None:
    nobody = raw(EVENT | {"actor": {"externalId": "nul\0"}})
    request = envelope(ORG, [raw(EVENT), b'{"no": "row"}', nobody, raw(EVENT)])
    changes = fold(message(founded(ORG)), message(request, 2))
    assert [row.row_index for row in changes.timeline[0].rows] == [0, 3]
    assert sorted((p.sequence, p.row_index, p.data) for p in changes.parked) == [
        (2, 1, b'{"no": "row"}'),
        (2, 2, nobody),
    ]


def test_a_row_without_metadata_and_duration_has_none() -> None:
    [block] = fold(message(founded(ORG)), message(envelope(ORG, [raw(EVENT)]))).timeline
    assert (block.rows[0].metadata_raw, block.rows[0].duration) == (None, None)
