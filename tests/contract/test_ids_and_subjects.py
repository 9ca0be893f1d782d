"""Names that live in stored data: what they are made of may never change."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wepeople_contracts import ids, subjects


def test_derived_ids_are_what_they_were_in_the_first_release() -> None:
    assert ids.event_id("req_01HP3K5V4J3M9NVT8XZKQ9YQ2E", 499) == "evt_01HP3K5V4J3M9NVT8XZKQ9YQ2E0FK"
    assert ids.message_id("app_1", "POST", "/api/v1/ingest/events", "k") == "0a6e7c777614ab85544a89d4838fbf0cd5fde07d"
    assert ids.worker_id(b"s" * 32, "externalId", "app_1", "eng-17") == "wrk_wrien3tymfo5pw5musdu75wi"
    assert [subjects.partition_of(f"org_{n}") for n in range(8)] == [10, 5, 9, 3, 15, 4, 3, 14]


def test_event_ids_sort_by_request_and_row() -> None:
    made = [ids.event_id("req_01HP3K5V4J3M9NVT8XZKQ9YQ2E", row) for row in range(500)]
    assert made == sorted(set(made))


@pytest.mark.parametrize("token", ["", "wp_live_", "wp_live_" + "g" * 32, "wp_live_" + "0" * 31, "wp_test_" + "0" * 32])
def test_a_token_that_is_no_key_has_no_public_id(token: str) -> None:
    assert ids.key_public_id(token) is None


def test_a_new_key_starts_with_its_public_id() -> None:
    key = ids.new_key()
    public_id = ids.key_public_id(key)
    assert public_id is not None
    assert key.startswith(f"wp_live_{public_id}")


@given(st.text(min_size=1), st.text(min_size=1), st.text(min_size=1))
def test_a_worker_id_depends_on_the_orgs_salt_and_the_apps_scope(value: str, scope: str, other: str) -> None:
    mine = ids.worker_id(b"a" * 32, "externalId", scope, value)
    assert mine != ids.worker_id(b"b" * 32, "externalId", scope, value)
    assert (mine == ids.worker_id(b"a" * 32, "externalId", other, value)) == (scope == other)


def test_a_subject_can_be_taken_apart_again() -> None:
    parsed = subjects.parse_ingest_subject(subjects.ingest_subject("org_1", "app_1", "events"))
    assert (parsed.org_id, parsed.app_id, parsed.kind) == ("org_1", "app_1", "events")
    assert parsed.partition == subjects.partition_of("org_1")
    with pytest.raises(ValueError, match="not a subject"):
        subjects.parse_ingest_subject("rpc.auth.authenticate")
