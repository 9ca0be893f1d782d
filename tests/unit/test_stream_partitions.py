"""Which partitions a stream's subjects mean, and what a choice of sequences means for each."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wepeople_chassis.stream import StreamState
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
from wepeople_projections.commands.looking import state_of, whereabouts
from wepeople_projections.definition.selection import Selection
from wepeople_projections.postgres.about import About

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


def stream(name: str, partitions: Iterable[int], last_sequence: int) -> StreamState:
    return StreamState(name, frozenset(partitions), "id", 1, last_sequence, 0, 0, 600.0, None, 1, 1)


def test_a_projection_is_said_to_be_in_each_stream_where_it_is_in_that_one() -> None:
    one, other = stream("INGEST", range(8), 100), stream("INGEST_8", range(8, 16), 40)
    streams = {partition: found for found in (one, other) for partition in found.partitions}
    positions = dict.fromkeys(range(16), 30) | {3: 90}
    nothing_left = dict.fromkeys(range(16), 0)

    assert whereabouts(Selection(), positions, nothing_left, streams) == "INGEST 100, INGEST_8 40"
    assert whereabouts(Selection(), positions, nothing_left | {3: 1, 9: 2}, streams) == "INGEST 90, INGEST_8 30"
    assert whereabouts(Selection(), positions, {9: 0}, streams) == 40
    assert whereabouts(Selection(to_sequences={3: 95, 9: 35}), positions, {3: 0, 9: 0}, streams) == (
        "INGEST 95, INGEST_8 35"
    )


def test_a_version_is_finished_once_each_partition_has_its_end() -> None:
    about = About(
        name="a",
        version=1,
        source="",
        code_sha256="",
        tables_sha256="",
        selection=Selection(to_sequences={3: 95, 9: 35}),
    )
    assert state_of(about, 1, {3: 95, 9: 34}, 0) == "running"
    assert state_of(about, 0, {3: 95, 9: 35}, 0) == "finished"
    assert state_of(about, 0, {3: 95, 9: 35}, 1) == "stopped"
