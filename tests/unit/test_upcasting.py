"""Older versions are lifted step by step; a newer one is refused. On a made-up contract that is at version 3."""

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import DecodeError, Struct
from msgspec.structs import replace

from tests.support.stored import envelope, founded, raw
from wepeople_contracts.directory import decode_fact, encode_fact
from wepeople_contracts.envelope import ENVELOPE_VERSION, AcceptedRow, decode, decode_head, decode_outline, encode
from wepeople_contracts.upcasting import Chain, NewerVersion, Upcaster


class Trip(Struct, frozen=True, kw_only=True):
    """Version 1 had `km`, without a version at first; version 2 `metres`; version 3 has the stops in it."""

    version: int = 3
    metres: int
    stops: list[str]


def metres_for_km(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    rest = {name: value for name, value in fields.items() if name != "km"}
    return rest | {"metres": fields["km"] * 1000}


def ends_become_stops(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    assert fields["version"] == 2
    return {"metres": fields["metres"], "stops": [fields["start"], fields["end"]]}


STEPS: dict[int, Upcaster] = {1: metres_for_km, 2: ends_become_stops}
CHAIN = Chain("trip", 3, STEPS)
TRIP = Trip(metres=5000, stops=["a", "b"])
OLD: list[dict[str, Any]] = [
    {"km": 5, "start": "a", "end": "b"},
    {"version": 1, "km": 5, "start": "a", "end": "b"},
    {"version": 2, "metres": 5000, "start": "a", "end": "b"},
]


def read(fields: Any) -> Trip:
    return CHAIN.read(msgspec.msgpack.Decoder(Trip), msgspec.msgpack.encode(fields))


@pytest.mark.parametrize("old", OLD, ids=["without a version", "version 1", "version 2"])
def test_what_is_old_goes_through_each_step_in_order(old: dict[str, Any]) -> None:
    assert read(old) == TRIP


def test_what_is_of_the_newest_version_goes_through_none() -> None:
    assert read(TRIP) == TRIP
    with pytest.raises(DecodeError, match="stops"):
        read({"version": 3, "km": 5, "metres": 1, "start": "a", "end": "b"})


def test_an_old_version_is_lifted_for_a_reader_of_undecoded_parts_too() -> None:
    class Outline(Struct, frozen=True, kw_only=True):
        version: int = 3
        stops: list[msgspec.Raw]

    found = CHAIN.read(msgspec.msgpack.Decoder(Outline), msgspec.msgpack.encode(OLD[0]))
    assert [msgspec.msgpack.decode(stop) for stop in found.stops] == ["a", "b"]


def test_an_old_version_that_happens_to_fit_the_present_struct_is_lifted_all_the_same() -> None:
    chain = Chain("trip", 2, {1: lambda fields: {**fields, "metres": fields["metres"] * 1000}})
    fits = {"version": 1, "metres": 5, "stops": []}
    decoder = msgspec.msgpack.Decoder(Trip)
    assert chain.read(decoder, msgspec.msgpack.encode(fits)) == Trip(version=2, metres=5000, stops=[])


@pytest.mark.parametrize("fields", [{"version": 4, "metres": 1, "stops": []}, {"version": 9, "legs": 2}])
def test_a_version_of_a_newer_release_is_refused_whether_or_not_it_fits(fields: dict[str, Any]) -> None:
    with pytest.raises(NewerVersion, match=f"trip version {fields['version']} is unknown .* knows 3; upgrade first"):
        read(fields)


@pytest.mark.parametrize("steps", [{}, {1: metres_for_km}, {2: ends_become_stops}, {**STEPS, 3: metres_for_km}])
def test_a_chain_without_one_of_its_steps_or_with_one_too_many_cannot_be_made(steps: dict[int, Upcaster]) -> None:
    with pytest.raises(ValueError, match="trip version 3 needs upcasters from"):
        Chain("trip", 3, steps)


def test_a_step_cannot_change_what_it_is_given() -> None:
    def greedy(fields: Any) -> Mapping[str, Any]:
        fields["metres"] = 1
        return {**fields}

    with pytest.raises(DecodeError, match="trip version 1"):
        Chain("trip", 2, {1: greedy}).lift({"km": 5})
    old = dict(OLD[0])
    assert CHAIN.lift(old) == CHAIN.lift(old)
    assert old == OLD[0]


@pytest.mark.parametrize(
    "fields",
    [{"km": None}, {"km": [], "start": "a", "end": "b"}, {"version": 2}, {"version": 0}, {"version": True}, []],
)
def test_what_no_step_can_take_is_a_decode_error(fields: Any) -> None:
    with pytest.raises(DecodeError):
        read(fields)


def test_envelopes_and_facts_of_a_newer_release_are_refused_by_every_reader() -> None:
    newer = encode(replace(envelope("org_a", [raw({})]), version=ENVELOPE_VERSION + 1))
    fact = encode_fact(replace(founded("org_a"), version=2))
    for reader, data in ((decode, newer), (decode_head, newer), (decode_outline, newer), (decode_fact, fact)):
        with pytest.raises(NewerVersion):
            reader(data)


def test_a_head_says_the_same_as_its_envelope() -> None:
    whole = envelope("org_a", [raw({})])
    head = decode_head(encode(whole))
    assert all(getattr(head, name) == getattr(whole, name) for name in head.__struct_fields__)


@pytest.mark.parametrize("rows", [0, 1, 15, 16, 500, 65_536])
def test_an_outline_counts_the_accepted_rows(rows: int) -> None:
    whole = envelope("org_a", [])
    row = AcceptedRow(0, "evt_1", b"{}")
    assert decode_outline(encode(replace(whole, accepted=[row] * rows))).accepted_count == rows


def test_an_outline_without_an_array_of_rows_is_a_decode_error() -> None:
    fields = msgspec.msgpack.decode(encode(envelope("org_a", []))) | {"accepted": 7}
    with pytest.raises(DecodeError):
        _ = decode_outline(msgspec.msgpack.encode(fields)).accepted_count


ENVELOPE = encode(envelope("org_a", [raw({})]))


@given(
    st.one_of(st.binary(max_size=64), st.tuples(st.integers(0, len(ENVELOPE) - 1), st.binary(min_size=1, max_size=4)))
)
def test_whatever_the_bytes_are_there_is_a_message_or_a_named_error(drawn: bytes | tuple[int, bytes]) -> None:
    data = drawn if isinstance(drawn, bytes) else ENVELOPE[: drawn[0]] + drawn[1] + ENVELOPE[drawn[0] + 1 :]
    for reader in (decode, decode_head, decode_outline, decode_fact):
        try:
            reader(data)
        except (DecodeError, NewerVersion):
            continue


def test_bytes_that_are_nested_too_deeply_are_a_decode_error() -> None:
    for data in (b"\x91" * 5000, b"\x81\xa1a" + b"\x91" * 5000):
        with pytest.raises(DecodeError):
            decode_head(data)
