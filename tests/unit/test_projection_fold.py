"""What a message becomes: rows of a projection's tables, or something parked; never an exception, never nothing."""

from collections.abc import Iterator

import msgspec
import pytest

from tests.support.folding import (
    EVERYTHING_KEPT,
    Asked,
    Disagreement,
    Everything,
    Happened,
    Latest,
    Noted,
    Person,
    Refused,
    fold,
    rows_of,
    stored,
)
from tests.support.stored import RECEIVED_AT_US, app_created, envelope, founded, imported, raw
from wepeople_chassis.stream import StoredMessage
from wepeople_contracts.directory import DirectoryFact
from wepeople_contracts.envelope import ENVELOPE_VERSION, Envelope, RejectedRow, encode
from wepeople_contracts.ids import worker_id
from wepeople_contracts.subjects import ingest_subject
from wepeople_projections import Identified, Operation, on_identified
from wepeople_projections.batch.tables import MemoryTables
from wepeople_projections.definition.projection import define
from wepeople_projections.folding.identity import worker_identifier
from wepeople_projections.folding.parked import WHOLE_MESSAGE

ORG = "org_a"
SALT = founded(ORG).salt
ENG_17 = worker_id(SALT, "externalId", "app_1", "eng-17")
EVENT = {"eventType": "deploy.shipped", "category": "code", "actor": {"externalId": "eng-17"}}


def kept(*contents: Envelope | DirectoryFact) -> MemoryTables:
    """The tables of the projection that keeps everything."""
    tables, _ = fold(EVERYTHING_KEPT, stored(*contents))
    return tables


def test_a_row_becomes_an_event_of_its_worker_with_its_metadata_untouched() -> None:
    metadata = b'{ "a": 1, "a": 1.0 }'
    request = envelope(ORG, [raw(EVENT)[:-1] + b', "duration": 612, "metadata": ' + metadata + b"}"])
    event_id, at_us = request.accepted[0].event_id, request.received_at_us
    assert rows_of(kept(founded(ORG), request), Happened) == [
        Happened(ORG, event_id, ENG_17, 2, 0, "deploy.shipped", "code", at_us, 612.0, metadata)
    ]


def test_an_event_of_somebody_known_is_the_same_as_that_of_somebody_new() -> None:
    timed = EVENT | {"timestamp": "2026-04-19T12:00:00.000001+00:00", "metadata": {"a": 1}, "duration": 1.5}
    first, second = rows_of(kept(founded(ORG), *(envelope(ORG, [raw(timed)]) for _ in range(2))), Happened)
    assert first.occurred_at == RECEIVED_AT_US + 1
    assert second == msgspec.structs.replace(first, event_id=second.event_id, sequence=3)


def test_an_event_without_metadata_duration_and_timestamp_has_none_and_happened_when_it_was_received() -> None:
    request = envelope(ORG, [raw(EVENT)] * 2, received_at_us=RECEIVED_AT_US)
    events = rows_of(kept(founded(ORG), request), Happened)
    assert [(e.metadata, e.duration, e.occurred_at) for e in events] == [(None, None, RECEIVED_AT_US)] * 2


def test_a_snapshot_is_never_observed_later_than_it_was_received() -> None:
    row = {"snapshotType": "gauge", "actor": {"externalId": "eng-17"}, "metrics": {"n": 1}}
    early, late = ("2026-04-19T11:59:59Z", RECEIVED_AT_US - 1_000_000), ("2026-04-19T12:00:01Z", RECEIVED_AT_US)
    for timestamp, observed_at in (early, late):
        request = envelope(ORG, [raw(row | {"timestamp": timestamp})], kind="snapshot", received_at_us=RECEIVED_AT_US)
        assert rows_of(kept(founded(ORG), request), Latest) == [
            Latest(ORG, ENG_17, "custom:ci", "gauge", observed_at, 2, b'{"n": 1}')
        ]


def test_requests_rejected_rows_and_facts_come_as_they_were_stored() -> None:
    request = envelope(ORG, [raw(EVENT)])
    rejected = [RejectedRow(1, "invalid_body", "Mend it.", None, False, b"\xff")]
    request = msgspec.structs.replace(request, rejected=rejected)
    tables = kept(founded(ORG), app_created(ORG, "app_1"), request)
    assert rows_of(tables, Asked) == [Asked(ORG, request.request_id, 3, 1, 1)]
    assert rows_of(tables, Refused) == [Refused(ORG, 3, 1, b"\xff")]
    assert [(noted.sequence, noted.what) for noted in rows_of(tables, Noted)] == [(1, "OrgFounded"), (2, "AppCreated")]


def test_an_import_adopts_the_worker_that_has_the_email_and_founds_the_others() -> None:
    request = envelope(ORG, [raw(EVENT | {"actor": {"externalId": "eng-17", "email": "Alex@acme.com"}})])
    people = rows_of(kept(founded(ORG), request, imported(ORG, ("alex@acme.com", "Alex"), ("bo@acme.com", ""))), Person)
    bo = worker_id(SALT, "email", ORG, "bo@acme.com")
    at_us = request.received_at_us
    assert sorted(people, key=lambda person: person.name or "") == [
        Person(ORG, bo, None, True, ["bo@acme.com"], [], [], RECEIVED_AT_US),
        Person(ORG, ENG_17, "Alex", True, ["alex@acme.com"], ["eng-17"], ["custom:ci"], at_us),
    ]


def test_an_identifier_that_speaks_against_the_worker_is_told_each_time() -> None:
    told: list[int] = []

    class Told(Everything):
        @on_identified()
        def identified(self, seen: Identified) -> Iterator[Operation]:
            told.append(len(seen.conflicts))
            yield from super().identified(seen)

    actor = {"workerId": "nobody", "externalId": "eng-17"}
    fold(define(Told), stored(founded(ORG), envelope(ORG, [raw(EVENT | {"actor": actor})] * 3)))
    assert told == [1, 1, 1]
    [disagreement] = rows_of(kept(founded(ORG), envelope(ORG, [raw(EVENT | {"actor": actor})] * 3)), Disagreement)
    assert (disagreement.value, disagreement.reason, disagreement.sequence) == ("nobody", "unknown_worker_id", 2)


def test_a_worker_founded_by_a_worker_id_alone_is_found_by_its_own_id() -> None:
    request = envelope(ORG, [raw(EVENT | {"actor": {"workerId": "nobody"}})] * 2)
    tables = kept(founded(ORG), request)
    made = worker_identifier(ORG, worker_id(SALT, "workerId", ORG, "nobody"))
    assert tables.bindings([made]) == {made: made.value}
    assert {event.worker_id for event in rows_of(tables, Happened)} == {made.value}


def test_the_first_founding_of_an_org_keys_its_workers_for_good() -> None:
    tables = kept(founded(ORG), founded(ORG, b"another"), envelope(ORG, [raw(EVENT)]))
    assert tables.salts() == {ORG: SALT}
    assert [event.worker_id for event in rows_of(tables, Happened)] == [ENG_17]


def test_what_belongs_to_an_org_that_was_never_founded_is_parked_whole() -> None:
    [request] = stored(envelope(ORG, [raw(EVENT)]), first=5)
    tables, _ = fold(EVERYTHING_KEPT, [request])
    [parked] = tables.parked
    assert (parked.message, parked.row_index, parked.org_id) == (request, WHOLE_MESSAGE, ORG)
    assert "never founded" in parked.reason
    assert not rows_of(tables, Asked)


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
            "upgrade",
        ),
        ("ingest.0.org_a.events", b"", "not a subject"),
    ],
)
def test_a_message_that_is_not_what_its_subject_says_is_parked_with_the_reason(
    subject: str, data: bytes, reason: str
) -> None:
    message = StoredMessage(2, subject, "id", 0, data)
    tables, _ = fold(EVERYTHING_KEPT, [*stored(founded(ORG)), message])
    [parked] = tables.parked
    assert (parked.message, parked.row_index) == (message, WHOLE_MESSAGE)
    assert reason in parked.reason


def test_one_bad_row_is_parked_and_harms_no_other() -> None:
    nobody = raw(EVENT | {"actor": {"externalId": "nul\0"}})
    tables = kept(founded(ORG), envelope(ORG, [raw(EVENT), b'{"no": "row"}', nobody, raw(EVENT)]))
    assert [event.row_index for event in rows_of(tables, Happened)] == [0, 3]
    assert sorted((parked.message.sequence, parked.row_index) for parked in tables.parked) == [(2, 1), (2, 2)]


def test_accepted_rows_are_counted_as_read_whatever_becomes_of_them() -> None:
    tables = kept(founded(ORG), envelope(ORG, [raw(EVENT), b"no row"]), envelope(ORG, [raw(EVENT)]))
    assert tables.applied == 3
