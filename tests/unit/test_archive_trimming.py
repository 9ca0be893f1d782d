"""What may leave the stream: never what is not verified, not read, young, or the last."""

from hypothesis import given
from hypothesis import strategies as st

from wepeople_archiver.trimming import Plan, Reader, plan

LAST = 1_000


def planned(
    *,
    first: int = 1,
    unverified: dict[int, int | None] | None = None,
    readers: list[Reader] | None = None,
    young_from: int = LAST + 1,
) -> Plan:
    found = {3: None, 4: None} if unverified is None else unverified
    return plan(
        stream="INGEST",
        partitions=found,
        first=first,
        last=LAST,
        unverified=found,
        readers=readers or [],
        young_from=young_from,
    )


def test_all_but_the_last_message_may_go_where_nothing_keeps_it() -> None:
    assert planned().before == LAST
    assert planned().trims


def test_what_is_in_no_verified_file_stays_of_every_partition() -> None:
    found = planned(unverified={3: None, 4: 500, 5: 600})
    assert found.before == 500
    assert [limit.why for limit in found.held] == ["partition 4 is archived and verified only up to there"]


def test_what_somebody_has_not_read_stays() -> None:
    found = planned(readers=[Reader("live_v1", {3: 900, 4: 700}), Reader("quota", {3: 800, 4: 900})])
    assert found.before == 701
    assert "live_v1 has read partition 4" in found.held[0].why


def test_who_has_not_begun_keeps_everything() -> None:
    assert not planned(readers=[Reader("new_v1", {3: 900})]).trims


def test_what_is_young_stays() -> None:
    assert planned(young_from=300).before == 300


def test_a_stream_that_is_trimmed_already_stays_as_it_is() -> None:
    found = planned(first=400, young_from=300)
    assert found.before == 400
    assert not found.trims


@given(
    first=st.integers(1, LAST),
    unverified=st.dictionaries(st.integers(0, 15), st.none() | st.integers(1, LAST), min_size=1),
    positions=st.lists(st.dictionaries(st.integers(0, 15), st.integers(0, LAST)), max_size=3),
    young_from=st.integers(1, LAST + 1),
)
def test_nothing_that_anybody_needs_ever_goes(
    first: int, unverified: dict[int, int | None], positions: list[dict[int, int]], young_from: int
) -> None:
    readers = [Reader(f"reader_{n}", found) for n, found in enumerate(positions)]
    found = planned(first=first, unverified=unverified, readers=readers, young_from=young_from)
    if not found.trims:
        return
    gone = found.before - 1
    assert gone < young_from
    assert gone < LAST
    assert all(sequence is None or gone < sequence for sequence in unverified.values())
    assert all(gone <= reader.positions.get(partition, 0) for reader in readers for partition in unverified)
