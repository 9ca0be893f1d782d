"""What msgspec does, and which workaround rests on it. When one of these fails, its workaround may go."""

import json

import msgspec
import pytest
from msgspec import UNSET, Raw, Struct, UnsetType

SURROGATE = b'{"rows": [{"text": "\\ud83d"}, {"text": "whole"}]}'


class Rows(Struct):
    """A body whose rows stay bytes."""

    rows: list[Raw]


class NoneOr(Struct):
    """A raw field that may be null."""

    metadata: Raw | None = None


class UnsetOr(Struct):
    """A raw field that may be absent."""

    metadata: Raw | UnsetType = UNSET


def test_raw_does_not_check_utf8_hence_check_utf8_in_the_gateways_decode() -> None:
    (row,) = msgspec.json.decode(b'{"rows": ["\xff\xfe"]}', type=Rows).rows
    assert bytes(row) == b'"\xff\xfe"'


def test_one_lone_surrogate_refuses_the_whole_body_hence_the_disguise_in_the_gateways_decode() -> None:
    assert len(json.loads(SURROGATE)["rows"]) == 2
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(SURROGATE, type=Rows)


def test_raw_or_none_refuses_an_object_hence_unset_in_the_contracts_rows() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"metadata": {}}', type=NoneOr)
    decoded = msgspec.json.decode(b'{"metadata": {}}', type=UnsetOr)
    assert isinstance(decoded.metadata, Raw)


def test_deep_nesting_raises_a_recursion_error_hence_its_place_beside_decode_errors_in_the_gateway() -> None:
    with pytest.raises(RecursionError):
        msgspec.json.decode(b"[" * 100_000 + b"]" * 100_000)
