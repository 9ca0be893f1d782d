"""How long a rejected row is kept: decided by the stream's own time, the same for any batching."""

from collections.abc import Sequence
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.folding import build, rows_of, stored
from tests.support.stored import envelope, founded
from wepeople_chassis.stream import StoredMessage
from wepeople_contracts.envelope import RejectedRow
from wepeople_projections.batch.tables import MemoryTables
from wepeople_projections.definition.projection import define
from wepeople_projector.models.live import Live
from wepeople_projector.models.rejects import KEPT_US
from wepeople_projector.models.rejects import RejectedRow as Kept

DAY_US = 86_400_000_000
LIVE = define(Live)


def history(stored_at_us: Sequence[int], *raws: bytes, message: str = "Mend it.") -> list[StoredMessage]:
    """An org, and a request for each moment with rows that were rejected."""
    rejected = [RejectedRow(n, "invalid_body", message, None, False, raw) for n, raw in enumerate(raws or (b"{}",))]
    requests = [msgspec.structs.replace(envelope("org", []), rejected=rejected) for _ in stored_at_us]
    moments = (0, *stored_at_us)
    return [
        replace(one, stored_at_ns=at_us * 1000)
        for one, at_us in zip(stored(founded("org"), *requests), moments, strict=True)
    ]


def kept(made: MemoryTables) -> list[Kept]:
    return sorted(rows_of(made, Kept), key=lambda row: (row.sequence, row.row_index))


def kept_of(stored_at_us: Sequence[int], batches: Sequence[int]) -> list[int]:
    """The numbers of the requests whose rejected row is there in the end."""
    return [row.sequence - 2 for row in kept(build(LIVE, history(stored_at_us), batches))]


def test_a_row_is_kept_for_fourteen_days_of_the_stream_and_not_longer() -> None:
    assert KEPT_US == 14 * DAY_US
    assert kept_of([DAY_US, 15 * DAY_US - 1], [1]) == [0, 1]
    assert kept_of([DAY_US, 15 * DAY_US], [1]) == [1]


times = st.lists(st.integers(0, 40).map(lambda day: day * DAY_US), max_size=10)


@given(times, st.lists(st.integers(1, 4), max_size=10))
def test_any_batching_keeps_the_same_rows_even_where_the_clock_went_back(
    stored_at_us: list[int], batches: list[int]
) -> None:
    expected = [n for n, at in enumerate(stored_at_us) if all(later < at + KEPT_US for later in stored_at_us[n:])]
    assert kept_of(stored_at_us, batches) == expected


@pytest.mark.parametrize("raw", [b"\xff", b'"\0"'])
def test_what_no_text_column_can_hold_is_parked(raw: bytes) -> None:
    made = build(LIVE, history([0], raw, b'"\\ud83d \\u0000"'))
    assert [row.raw for row in kept(made)] == ['"\\ud83d \\u0000"']
    [parked] = made.parked
    assert (parked.message.sequence, parked.row_index) == (2, 0)
    assert "is not text" in parked.reason


def test_a_reason_that_quotes_what_was_sent_is_kept_without_its_nul() -> None:
    [row] = kept(build(LIVE, history([0], message="eventType '\0' is none.")))
    assert row.message == "eventType '\N{REPLACEMENT CHARACTER}' is none."
