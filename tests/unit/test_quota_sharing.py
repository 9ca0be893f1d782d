"""Who asks whom for a stream: any number of processes and streams come to a spread, and then nothing moves."""

from collections import Counter
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from wepeople_quota.bucket import ALL, OVERWRITTEN, Entry
from wepeople_quota.sharing import gives, owners_of, wanted

processes = st.integers(1, 8)
streams = st.integers(1, 16)
seeds = st.integers(0, 2**32)


def spread(owners: dict[str, str], names: list[str]) -> list[int]:
    """How many each process owns."""
    counts = Counter(owners.values())
    return [counts[name] for name in names]


def share_out(owners: dict[str, str], names: list[str], random: Random) -> int:
    """Let processes ask in any order, on what they knew a while ago, until nobody does; how many streams moved."""
    moves = 0
    while asking := [name for name in names if wanted(owners, name)]:
        known = dict(owners)
        for name in random.sample(asking, random.randint(1, len(asking))):
            stream = wanted(known, name)
            assert stream is not None
            owned = Counter(owners.values())
            if gives(owned[owners[stream]], owned[name]):
                owners[stream] = name
                moves += 1
                assert moves <= len(owners)
    return moves


def names_of(count: int) -> list[str]:
    return [f"host:{number}:x" for number in range(count)]


@given(processes, streams, seeds)
def test_whoever_owned_what_it_ends_with_a_difference_of_at_most_one(process: int, stream: int, seed: int) -> None:
    names, random = names_of(process), Random(seed)
    owners = {f"s{number}": random.choice(names) for number in range(stream)}
    share_out(owners, names, random)
    assert max(spread(owners, names)) - min(spread(owners, names)) <= 1


@given(processes, streams, seeds)
def test_one_more_process_gets_its_share_and_the_others_give_no_more_than_that(
    process: int, stream: int, seed: int
) -> None:
    names, random = names_of(process + 1), Random(seed)
    owners = {f"s{number}": names[number % process] for number in range(stream)}
    moves = share_out(owners, names, random)
    assert moves == stream // (process + 1)


@given(processes)
def test_with_one_stream_nothing_ever_moves(process: int) -> None:
    assert all(wanted({"INGEST": "host:0:x"}, name) is None for name in names_of(process))


def test_of_two_who_own_one_and_none_neither_asks() -> None:
    assert not gives(1, 0)
    assert wanted({"a": "one"}, "two") is None


def test_who_has_too_few_asks_the_one_who_has_most() -> None:
    owners = {"a": "one", "b": "one", "c": "two", "d": "two", "e": "two"}
    assert wanted(owners, "three") == "e"
    assert wanted(owners, "one") is None


def test_nobody_asks_while_a_lease_is_on_its_way() -> None:
    there = Entry(5, 1, "one", ALL)
    assert owners_of({"a": there}, {"a": ALL}) == {"a": "one"}
    for elsewhere in (None, Entry(0, 0, ""), Entry(7, 2, "", ALL), Entry(8, 8, OVERWRITTEN, ALL)):
        assert owners_of({"a": there, "b": elsewhere}, {"a": ALL, "b": ALL}) is None


def test_nobody_asks_before_an_owner_has_caught_up_with_a_split() -> None:
    half = frozenset(range(8))
    entries = {"INGEST": Entry(5, 1, "one", ALL), "INGEST_8": Entry(6, 2, "one", ALL - half)}
    assert owners_of(entries, {"INGEST": half, "INGEST_8": ALL - half}) is None
