"""What the bench sends is what the guide describes, and no two rows are of the same person."""

import json

import msgspec
import pytest

from bench.rows import bodies, body, event, http_request
from wepeople_contracts.rows import MAX_METADATA_BYTES, EventRow

NOW = "2026-04-19T12:05:00Z"


def test_the_plain_row_is_the_guides_event_of_about_220_bytes() -> None:
    row = json.dumps(event(17, NOW))
    assert 210 <= len(row) <= 230
    assert msgspec.json.decode(row, type=EventRow).event_type == "deploy.shipped"


@pytest.mark.parametrize("size", [1024, 8192])
def test_metadata_is_filled_up_to_the_size_asked_for(size: int) -> None:
    metadata = len(json.dumps(event(0, NOW, size)["metadata"]))
    assert size - 64 < metadata <= size <= MAX_METADATA_BYTES


def test_all_rows_of_all_bodies_have_actors_of_their_own() -> None:
    rows = [row for payload in bodies(4, 50, NOW, first_actor=1000) for row in json.loads(payload)["events"]]
    actors = {row["actor"]["externalId"] for row in rows}
    assert len(actors) == 200
    assert min(actors) == "eng-0001000"


def test_a_request_announces_exactly_the_body_it_carries() -> None:
    payload = body(0, 2, NOW)
    head, _, sent = http_request(payload, path="/x", host="h:1", token="t").partition(b"\r\n\r\n")
    assert sent == payload
    assert f"Content-Length: {len(payload)}".encode() in head.split(b"\r\n")
