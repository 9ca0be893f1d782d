"""The body as a whole: what is refused, and that one truncated emoji costs only its own row."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wepeople_gateway.errors import MalformedBody
from wepeople_gateway.ingest.decode import check_snapshot, disguise_lone_surrogates, has_nul_escape, split_events


def test_rows_come_out_byte_for_byte() -> None:
    rows = [b'{"a" : 1}', b"null", b'"x"', b'{"metadata":{"z":1,"a":1.0e2,"z":2}}']
    assert split_events(b' {"events": [' + b" , ".join(rows) + b"]}\n") == rows


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"events":[{"a":"\xff"}]}', "not UTF-8"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b'{"events":[NaN]}', "not JSON"),
        (b'{"events":[Infinity]}', "not JSON"),
        (b'{"events":[{"a":"\x00"}]}', "not JSON"),
        (b'{"events":[1]} x', "not JSON"),
        (b'{"events":[' + b"[" * 5000 + b"]" * 5000 + b"]}", "nested too deeply"),
        (b'{"events":"x"}', "events"),
        (b"{}", "events"),
        (b"[]", "must be"),
        (b"null", "must be"),
        (b'{"events":[]}', "0 rows"),
        (b'{"events":[' + b",".join([b"1"] * 501) + b"]}", "501 rows"),
        (b'{"events":[' + b",".join([b"1"] * 1_000_000) + b"]}", "more than 500 rows"),
        (b'{"events":{"a":"' + b"x" * 100_000 + b'"}}', "must be"),
        (b'{"events":["\\ud83d", NaN]}', "not JSON"),
    ],
)
def test_a_body_that_cannot_be_read_is_refused_with_the_reason(body: bytes, reason: str) -> None:
    with pytest.raises(MalformedBody, match=reason):
        split_events(body)


def test_half_a_surrogate_pair_leaves_its_neighbours_alone() -> None:
    rows = [b'{"a":"\\ud83d\\ude00"}', b'{"a":"\\ud83d"}', '{"a":"é\\udc00"}'.encode(), b'{"a":"\\\\ud83d"}']
    assert split_events(b'{"events":[' + b",".join(rows) + b"]}") == rows


_TEXT = st.text(alphabet=st.sampled_from(["\ud83d", "\ude00", "a", "\\", '"', "é", "\x85", "߿"]), max_size=8)


@given(st.lists(_TEXT, min_size=1, max_size=5))
def test_any_mixture_of_surrogates_is_split_where_the_rows_end(texts: list[str]) -> None:
    rows = [json.dumps({"a": text}).encode() for text in texts]
    assert split_events(b'{"events":[' + b",".join(rows) + b"]}") == rows


@given(_TEXT)
def test_a_disguise_can_be_taken_off(text: str) -> None:
    body = json.dumps(text).encode()
    disguised, marker = disguise_lone_surrogates(body)
    assert disguised.replace(marker, b"\\u") == body
    msgspec.json.decode(disguised)


def test_a_snapshot_is_its_own_row() -> None:
    assert check_snapshot(b' \n{"a": "\\ud83d"} ') == b'{"a": "\\ud83d"}'


@pytest.mark.parametrize("count", [1, 499, 500])
def test_the_rows_of_a_large_body_are_all_found(count: int) -> None:
    rows = [b'{"a":"%s"}' % (b"x" * 16_000)] * count
    assert split_events(b'{"events":[' + b",".join(rows) + b"]}") == rows


@given(_TEXT, st.booleans())
def test_nul_is_found_where_json_means_it(text: str, nul: bool) -> None:
    assert has_nul_escape(json.dumps(text + ("\0" if nul else "\\u0000")).encode()) == nul


@pytest.mark.parametrize("body", [b"[]", b"1", b"null", b"{", b"\xff", b""])
def test_a_snapshot_that_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedBody):
        check_snapshot(body)
