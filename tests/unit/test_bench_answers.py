"""Answers are read whole, however the bytes arrive."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.answers import Answer, AnswerReader

BODY = b'{"accepted":500}' * 40
HEAD = (
    b"HTTP/1.1 202 Accepted\r\nX-Request-Id: req_01\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\nDate: today\r\n\r\n" % len(BODY)
)
EXPECTED = (202, "req_01")


@given(st.lists(st.integers(1, len(HEAD) + len(BODY) - 1), max_size=8))
def test_cut_anywhere_an_answer_comes_once_and_only_at_its_last_byte(cuts: list[int]) -> None:
    whole = HEAD + BODY
    edges = sorted({0, len(whole), *cuts})
    parts = [whole[a:b] for a, b in pairwise(edges)]
    reader = AnswerReader()
    found = [reader.feed(part) for part in parts]
    assert found[:-1] == [None] * (len(parts) - 1)
    assert found[-1] is not None
    assert found[-1][:2] == EXPECTED


def test_the_next_answer_on_the_connection_is_read_as_well() -> None:
    reader = AnswerReader()
    reader.feed(HEAD + BODY)
    assert reader.feed(b"HTTP/1.1 503 No\r\ncontent-length: 2\r\n\r\nno") == Answer(503, "", b"no")


def test_an_empty_body_is_whole_at_once() -> None:
    assert AnswerReader().feed(b"HTTP/1.1 202 A\r\nContent-Length: 0\r\n\r\n") == Answer(202, "", b"")


def test_an_answer_without_a_length_is_an_error() -> None:
    with pytest.raises(ValueError, match="Content-Length"):
        AnswerReader().feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
