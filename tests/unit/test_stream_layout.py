"""Which partitions are in which stream, now and after splits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wepeople_contracts.subjects import PARTITIONS, STREAMS
from wepeople_provision.errors import ProvisionError
from wepeople_provision.stream_layout import Place, Split, evenly, halves, spelled, splits_of

COUNTS = (1, 2, 4, 8, 16)


def after(places: list[Place], splits: list[Split]) -> dict[str, frozenset[int]]:
    """Whose partitions are whose once the splits are done."""
    there = {place.name: place.partitions for place in places}
    for split in splits:
        assert there[split.old] == split.staying | split.moving
        assert split.new not in there
        there |= {split.old: split.staying, split.new: split.moving}
    return there


@pytest.mark.parametrize("streams", COUNTS)
def test_a_new_deployments_streams_share_all_partitions_evenly(streams: int) -> None:
    places = evenly(streams)
    assert sorted(partition for place in places for partition in place.partitions) == list(range(PARTITIONS))
    assert {len(place.partitions) for place in places} == {PARTITIONS // streams}
    assert len({place.name for place in places} & set(STREAMS)) == streams


def test_the_upper_half_moves_to_a_stream_that_is_named_after_its_lowest_partition() -> None:
    split = halves(Place("INGEST_8", frozenset({8, 9, 10})))
    assert split == Split("INGEST_8", "INGEST_10", frozenset({8, 9}), frozenset({10}))
    assert str(split) == "INGEST_8 keeps partitions 8-9, INGEST_10 gets 10"


@given(st.sampled_from(COUNTS), st.integers(1, 16))
def test_however_often_streams_are_split_each_partition_is_in_one_and_no_name_comes_twice(
    begin: int, into: int
) -> None:
    places = evenly(begin)
    if into < begin:
        with pytest.raises(ProvisionError, match="never joined"):
            splits_of(places, None, into)
        return
    there = after(places, splits_of(places, None, into))
    assert len(there) == into
    assert sorted(partition for share in there.values() for partition in share) == list(range(PARTITIONS))
    assert max(map(len, there.values())) <= 2 * min(map(len, there.values()))


def test_of_streams_with_as_many_partitions_the_largest_is_split_first() -> None:
    small, large = Place("INGEST", frozenset(range(8)), 10), Place("INGEST_8", frozenset(range(8, 16)), 20)
    assert [split.old for split in splits_of([small, large], None, 4)] == ["INGEST_8", "INGEST"]


@pytest.mark.parametrize(
    ("name", "into", "said"),
    [
        (None, None, "Which one"),
        ("INGEST_3", None, "no stream INGEST_3. There are INGEST (partitions 0-7), INGEST_8 (partitions 8-15)"),
        (None, 1, "never joined"),
        (None, 17, "one partition"),
    ],
)
def test_what_cannot_be_split_is_refused_with_what_there_is(name: str | None, into: int | None, said: str) -> None:
    with pytest.raises(ProvisionError) as refused:
        splits_of(evenly(2), name, into)
    assert said in str(refused.value)


def test_partitions_are_spelled_in_runs() -> None:
    assert spelled({0, 1, 2, 5, 9, 8}) == "0-2, 5, 8-9"
