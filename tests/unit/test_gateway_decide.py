"""Every rule of a row, and that no row harms another."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wepeople_gateway.ingest.decide import Good, judge_events, judge_snapshot, shared_error

NOW = datetime(2026, 4, 19, 12, 0, tzinfo=UTC)
ALLOWED = frozenset({"deploy.shipped"})
GOOD: dict[str, Any] = {"eventType": "deploy.shipped", "category": "code", "actor": {"externalId": "eng-17"}}


def row(**changes: Any) -> bytes:
    return json.dumps({**GOOD, **changes}).encode()


def with_metadata(raw: bytes) -> bytes:
    return row()[:-1] + b', "metadata": ' + raw + b"}"


def verdict(raw: bytes) -> tuple[str, str | None] | None:
    judged = judge_events([raw], allowed=ALLOWED, now=NOW)
    if judged.accepted:
        return None
    (refused,) = judged.rejected
    error = refused.error
    return error.code, error.field


GOOD_ROWS = [
    row(),
    row(timestamp="2026-04-19T13:00:00Z"),
    row(timestamp="1970-01-01T00:00:00+14:00"),
    row(duration=0),
    row(duration=1e300),
    row(actor={"workerId": "wrk_1"}),
    row(actor={"email": "alex@acme.com"}),
    row(actor={"externalId": "x" * 256}),
    row(unknownField=1),
    row(id="deploy-4711"),
    row(id="x" * 128),
    with_metadata(b"{}"),
    with_metadata(b'{"a":"' + b"x" * 16_376 + b'"}'),
    with_metadata(b'{"a":' * 32 + b"1" + b"}" * 32),
    with_metadata(b'{"a":18446744073709551617}'),
    with_metadata(b'{"a":1e400,"b":"0e99999","c":' + b"9" * 400 + b"}"),
    with_metadata(b'{"a":1e0000000000012}'),
    with_metadata(b'{"a":"\\\\u0000"}'),
    with_metadata(b'{"a":"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["}'),
    with_metadata(b'{"a":1,"a":2}'),
]


@pytest.mark.parametrize("raw", GOOD_ROWS)
def test_a_good_row_is_accepted(raw: bytes) -> None:
    assert verdict(raw) is None


BAD_ROWS = [
    (b"null", "invalid_body", None),
    (b"{}", "invalid_body", "eventType"),
    (row(eventType="other.type"), "forbidden_event_type", "eventType"),
    (row(eventType="Deploy Shipped"), "invalid_body", "eventType"),
    (row(eventType="x" * 129), "invalid_body", "eventType"),
    (row(eventType="deploy.shipped\n"), "invalid_body", "eventType"),
    (row(category=None), "invalid_body", "category"),
    (row(category="c" * 65), "invalid_body", "category"),
    (row(actor=None), "invalid_body", "actor"),
    (row(actor={}), "invalid_body", "actor"),
    (row(actor={"externalId": None}), "invalid_body", "actor.externalId"),
    (row(actor={"externalId": ""}), "invalid_body", "actor.externalId"),
    (row(actor={"externalId": " "}), "invalid_body", "actor.externalId"),
    (row(actor={"externalId": "x" * 257}), "invalid_body", "actor.externalId"),
    (row(actor={"externalId": "undefined", "email": "a@b.c"}), "invalid_body", "actor.externalId"),
    (row(actor={"workerId": "NULL"}), "invalid_body", "actor.workerId"),
    (row(actor={"email": "nobody"}), "invalid_body", "actor.email"),
    (row(timestamp="2026-04-19T12:05:00"), "invalid_body", "timestamp"),
    (row(timestamp="2026-04-19T13:00:01Z"), "invalid_body", "timestamp"),
    (row(timestamp="0001-01-01T00:00:00+14:00"), "invalid_body", "timestamp"),
    (row(id=""), "invalid_body", "id"),
    (row(id="x" * 129), "invalid_body", "id"),
    (row(id="undefined"), "invalid_body", "id"),
    (row(id="a\nb"), "invalid_body", "id"),
    (row(id=7), "invalid_body", "id"),
    (row(timestamp=1), "invalid_body", "timestamp"),
    (row(duration=-1), "invalid_body", "duration"),
    (row(duration="612"), "invalid_body", "duration"),
    (row(duration=True), "invalid_body", "duration"),
    (row()[:-1] + b',"duration":1e999}', "invalid_body", "duration"),
    (with_metadata(b"null"), "invalid_body", "metadata"),
    (with_metadata(b"[]"), "invalid_body", "metadata"),
    (with_metadata(b'{"a":"' + b"x" * 16_377 + b'"}'), "invalid_body", "metadata"),
    (with_metadata(b'{"a":"' + "é".encode() * 8_189 + b'"}'), "invalid_body", "metadata"),
    (with_metadata(b'{"a":' * 33 + b"1" + b"}" * 33), "invalid_body", "metadata"),
    (with_metadata(b'{"a":1e131072}'), "invalid_body", "metadata"),
    (with_metadata(b'{"a":-1.5E-401}'), "invalid_body", "metadata"),
    (with_metadata(b'{"a":' + b"9" * 401 + b"}"), "invalid_body", "metadata"),
    (with_metadata(b'{"a":0.' + b"9" * 400 + b"}"), "invalid_body", "metadata"),
    (with_metadata(b'{"a":"\\u0000"}'), "invalid_body", None),
    (with_metadata(b'{"a":"\\ud83d"}'), "invalid_body", None),
]


@pytest.mark.parametrize(("raw", "code", "field"), BAD_ROWS)
def test_a_bad_row_is_refused_with_its_field(raw: bytes, code: str, field: str | None) -> None:
    assert verdict(raw) == (code, field)


@given(st.lists(st.sampled_from([*GOOD_ROWS, *(raw for raw, _, _ in BAD_ROWS)]), min_size=1, max_size=20))
def test_each_row_is_judged_as_if_it_were_alone(rows: list[bytes]) -> None:
    judged = judge_events(rows, allowed=ALLOWED, now=NOW)
    alone = [verdict(raw) for raw in rows]
    assert [row.index for row in judged.accepted] == [i for i, v in enumerate(alone) if v is None]
    assert {row.index: (row.error.code, row.error.field) for row in judged.rejected} == {
        i: v for i, v in enumerate(alone) if v is not None
    }


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_any_json_in_any_field_gets_an_answer(value: Any) -> None:
    for field in ("eventType", "category", "actor", "timestamp", "duration", "metadata"):
        judged = judge_events([row(**{field: value})], allowed=ALLOWED, now=NOW)
        assert len(judged.accepted) + len(judged.rejected) == 1


METRICS_BAD = [b"{}", b"[]", b"null", b'{"a":true}', b'{"a":null}', b'{"a":[1]}', b'{"a":{"unit":"s"}}']
METRICS_BAD += [b'{"a":{"value":1,"color":"red"}}', b'{"a":"' + b"x" * 121 + b'"}', b'{"a":1e999}', b'{"a":"\\u0000"}']
METRICS_BAD += [json.dumps({str(n): n for n in range(33)}).encode(), b'{"' + b"x" * 65_536 + b'":1}']
METRICS_GOOD = [b'{"a":1}', b'{"a":"' + b"x" * 120 + b'"}', b'{"b":{"value":"up","unit":"s","label":"state"},"a":-0.5}']
METRICS_GOOD += [json.dumps({str(n): n for n in range(32)}).encode()]


def snapshot(metrics: bytes) -> bytes:
    return b'{"snapshotType":"oncall_queue","actor":{"email":"alex@acme.com"},"metrics":' + metrics + b"}"


@pytest.mark.parametrize("metrics", METRICS_GOOD)
def test_a_good_snapshot_is_accepted(metrics: bytes) -> None:
    assert judge_snapshot(snapshot(metrics), now=NOW).accepted == [Good(0, snapshot(metrics), None)]


@pytest.mark.parametrize("metrics", METRICS_BAD)
def test_bad_metrics_are_refused(metrics: bytes) -> None:
    (refused,) = judge_snapshot(snapshot(metrics), now=NOW).rejected
    assert refused.error.code == "invalid_body"


def test_a_request_is_forbidden_only_if_that_is_all_that_is_wrong() -> None:
    judged = judge_events([row(eventType="a"), row(eventType="b")], allowed=ALLOWED, now=NOW)
    assert shared_error(row.error for row in judged.rejected).code == "forbidden_event_type"
    judged = judge_events([row(eventType="a"), row(duration=-1)], allowed=ALLOWED, now=NOW)
    assert shared_error(row.error for row in judged.rejected).code == "invalid_body"
