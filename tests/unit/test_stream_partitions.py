"""Which partitions a stream's subjects mean, and what a choice of sequences means for each."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wepeople_contracts.subjects import (
    PARTITIONS,
    STREAM_SUBJECTS,
    org_filter,
    partition_filter,
    partition_of,
    partitions_in,
    stream_subjects,
)
from wepeople_projections.commands.choosing import ChoiceError, in_words, within
from wepeople_projections.definition.selection import Selection

partitions = st.sets(st.integers(0, PARTITIONS - 1), min_size=1)
sequences = st.integers(1, 50)


@given(partitions)
def test_a_streams_subjects_mean_exactly_its_partitions(taken: set[int]) -> None:
    assert partitions_in(stream_subjects(taken)) == taken


def test_who_has_all_partitions_has_one_subject() -> None:
    assert stream_subjects(range(PARTITIONS)) == [STREAM_SUBJECTS]


@given(st.text())
def test_an_orgs_filter_means_its_partition(org_id: str) -> None:
    assert partitions_in([org_filter(org_id)]) == {partition_of(org_id)}


@pytest.mark.parametrize(
    "subject", ["split.INGEST_8", "$KV.quota-lease.INGEST", "ingest.-.-.-.-", "ingest.16.*.*.*", ""]
)
def test_what_is_of_no_partition_means_none(subject: str) -> None:
    assert partitions_in([subject, partition_filter(3)]) == {3}


@given(st.dictionaries(st.integers(0, PARTITIONS - 1), st.tuples(sequences, sequences), min_size=1))
def test_each_partition_has_the_beginning_and_end_that_were_found_for_it(found: dict[int, tuple[int, int]]) -> None:
    starts = {partition: start for partition, (start, _) in found.items()}
    ends = {partition: end for partition, (_, end) in found.items()}
    try:
        chosen = within(Selection(event_types=("a",)), starts, ends)
    except ChoiceError:
        assert all(start > end for start, end in found.values())
        return
    for partition, (start, end) in found.items():
        own = chosen.of_partition(partition)
        assert own == Selection(event_types=("a",), from_sequence=start, to_sequence=end)
    assert in_words(chosen) != "the whole stream"


@given(st.dictionaries(st.integers(0, PARTITIONS - 1), sequences, min_size=1))
def test_one_numbering_is_kept_as_one_number(starts: dict[int, int]) -> None:
    chosen = within(Selection(), starts, {})
    assert bool(chosen.from_sequences) == (len(set(starts.values())) > 1)
    assert not chosen.ends
