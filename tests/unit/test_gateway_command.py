"""From judged rows to the stored envelope and its answer."""

import json
from datetime import UTC, datetime

import pytest

from wepeople_contracts.auth import Principal
from wepeople_contracts.envelope import decode, encode
from wepeople_contracts.ids import client_event_id
from wepeople_contracts.quota import Granted, Window
from wepeople_gateway.errors import ApiError
from wepeople_gateway.ingest.command import EVENTS, SNAPSHOTS, Command, Endpoint, judge, price, seal
from wepeople_gateway.ingest.decide import Judged
from wepeople_gateway.ingest.respond import render

GOOD = b'{"eventType":"deploy.shipped","category":"code","actor":{"externalId":"eng-17"}}'
BAD = b'{"eventType":"deploy.shipped","category":"code","actor":{}}'
SNAPSHOT = b'{"snapshotType":"q","actor":{"externalId":"eng-17"},"metrics":{"a":1}}'


def command(body: bytes, endpoint: Endpoint = EVENTS) -> Command:
    principal = Principal(
        org_id="org_1",
        app_id="app_1",
        app_slug="ci",
        connection="custom:ci",
        key_id="0123456789ab",
        allowed_event_types=frozenset({"deploy.shipped"}),
        key_requests_per_second=60,
        org_requests_per_second=600,
        max_events_per_month=10,
    )
    return Command(
        endpoint, principal, "req_01HP3K5V4J3M9NVT8XZKQ9YQ2E", "mid", 1_776_600_000_000_000, body, b"f", None
    )


def granted(units: int, known: frozenset[str] = frozenset()) -> Granted:
    window = Window(remaining=1, reset_seconds=1)
    resets_at = datetime(2026, 5, 1, tzinfo=UTC)
    return Granted(
        units=units, known_event_ids=known, period="2026-04", epoch=3, month_resets_at=resets_at, key_window=window
    )


def answer(body: bytes, units: int, endpoint: Endpoint = EVENTS) -> tuple[int, dict[str, object]]:
    asked = command(body, endpoint)
    judged = judge(asked)
    assert isinstance(judged, Judged)
    rendered = render(decode(encode(seal(asked, judged, granted(units)))), "https://docs")
    return rendered.status, json.loads(rendered.body)


def events(*rows: bytes) -> bytes:
    return b'{"events":[' + b",".join(rows) + b"]}"


def test_all_accepted_is_202_with_an_event_id_a_row() -> None:
    status, body = answer(events(GOOD, GOOD), 2)
    assert (status, body["accepted"], body["rejected"]) == (202, 2, 0)
    assert body["results"] == [
        {"index": 0, "status": "accepted", "eventId": "evt_01HP3K5V4J3M9NVT8XZKQ9YQ2E000"},
        {"index": 1, "status": "accepted", "eventId": "evt_01HP3K5V4J3M9NVT8XZKQ9YQ2E001"},
    ]


def test_some_accepted_is_207_with_every_row_in_its_place() -> None:
    status, body = answer(events(GOOD, BAD, GOOD), 2)
    assert (status, body["accepted"], body["rejected"]) == (207, 2, 1)
    results = body["results"]
    assert isinstance(results, list)
    assert [r["status"] for r in results] == ["accepted", "rejected", "accepted"]
    assert results[1]["error"]["field"] == "actor"
    assert results[1]["error"]["retryable"] is False


def test_none_accepted_is_the_rows_error_with_the_breakdown() -> None:
    status, body = answer(events(BAD), 0)
    assert status == 400
    error = body["error"]
    assert isinstance(error, dict)
    assert error["code"] == "invalid_body"
    assert error["requestId"] == "req_01HP3K5V4J3M9NVT8XZKQ9YQ2E"
    assert (body["accepted"], body["rejected"]) == (0, 1)


def test_a_month_nearly_spent_takes_rows_in_order_until_it_is_full() -> None:
    status, body = answer(events(GOOD, BAD, GOOD, GOOD), 2)
    assert status == 207
    results = body["results"]
    assert isinstance(results, list)
    assert [r["status"] for r in results] == ["accepted", "rejected", "accepted", "rejected"]
    assert results[3]["error"]["code"] == "plan_limit"


def test_a_spent_month_is_402_with_its_end() -> None:
    with pytest.raises(ApiError) as caught:
        answer(events(GOOD, BAD), 0)
    assert caught.value.code == "plan_limit"
    assert caught.value.details == {"resetAt": "2026-05-01T00:00:00Z"}
    assert "Retry-After" not in caught.value.headers


def test_a_snapshot_costs_no_events_even_in_a_spent_month() -> None:
    asked = command(SNAPSHOT, SNAPSHOTS)
    judged = judge(asked)
    assert isinstance(judged, Judged)
    envelope = seal(asked, judged, granted(0))
    assert envelope.charge.units == 0
    assert answer(SNAPSHOT, 0, SNAPSHOTS)[0] == 202


def test_the_envelope_carries_rejected_rows_as_received() -> None:
    asked = command(events(BAD))
    judged = judge(asked)
    assert isinstance(judged, Judged)
    (rejected,) = seal(asked, judged, granted(0)).rejected
    assert rejected.raw == BAD


def named(client_id: str) -> bytes:
    return GOOD[:-1] + b',"id":"' + client_id.encode() + b'"}'


A, B = client_event_id("app_1", "a"), client_event_id("app_1", "b")


def test_named_rows_are_asked_for_by_their_ids_each_once() -> None:
    asked = command(events(GOOD, named("a"), named("b"), named("a"), BAD))
    assert price(asked, judge(asked)) == (1, [A, B])


def test_a_name_known_from_earlier_or_from_this_request_is_a_duplicate_and_costs_nothing() -> None:
    asked = command(events(named("a"), named("b"), named("b"), GOOD))
    judged = judge(asked)
    assert isinstance(judged, Judged)
    envelope = seal(asked, judged, granted(2, frozenset({A})))
    assert [(row.event_id, row.duplicate) for row in envelope.accepted[:3]] == [(A, True), (B, False), (B, True)]
    assert (envelope.charge.units, envelope.charge.event_ids) == (2, [B])
    body = json.loads(render(envelope, "https://docs").body)
    assert [result["status"] for result in body["results"]] == ["duplicate", "accepted", "duplicate", "accepted"]
    assert (body["accepted"], body["rejected"]) == (4, 0)


def test_duplicates_still_pass_when_the_month_is_spent() -> None:
    asked = command(events(GOOD, named("a")))
    judged = judge(asked)
    assert isinstance(judged, Judged)
    envelope = seal(asked, judged, granted(0, frozenset({A})))
    assert [row.index for row in envelope.accepted] == [1]
    assert [(row.index, row.code) for row in envelope.rejected] == [(0, "plan_limit")]
    assert envelope.charge.units == 0


def test_the_same_name_from_another_app_is_another_event() -> None:
    assert client_event_id("app_1", "a") != client_event_id("app_2", "a")
