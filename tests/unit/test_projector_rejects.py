"""How long a rejected row is kept: decided by the stream's own time, the same for any batching."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.stored import envelope
from wepeople_contracts.envelope import RejectedRow
from wepeople_projector.projections.rejects.rows import KEPT_US, RejectRows

DAY_US = 86_400_000_000
REQUEST = envelope("org", [])


def rejected(index: int = 0, raw: bytes = b"{}") -> RejectedRow:
    return RejectedRow(index, "invalid_body", "Mend it.", None, False, raw)


def kept(stored_at_us: Sequence[int], batches: Sequence[int]) -> list[int]:
    """The sequences whose rejected row is there in the end, when each message brought one."""
    table: dict[int, int] = {}
    messages = list(enumerate(stored_at_us))
    for size in [*batches, len(messages)]:
        batch, messages = messages[:size], messages[size:]
        rejects = RejectRows()
        for sequence, at in batch:
            rejects.pass_time(at)
            rejects.add(REQUEST, sequence, at, rejected())
        table = {sequence: until for sequence, until in table.items() if until > rejects.now_us}
        table |= {reject.sequence: reject.kept_until_us for reject in rejects.rows}
    return sorted(table)


def test_a_row_is_kept_for_fourteen_days_of_the_stream_and_not_longer() -> None:
    assert KEPT_US == 14 * DAY_US
    assert kept([DAY_US, 15 * DAY_US - 1], [1]) == [0, 1]
    assert kept([DAY_US, 15 * DAY_US], [1]) == [1]


times = st.lists(st.integers(0, 40).map(lambda day: day * DAY_US), max_size=10)


@given(times, st.lists(st.integers(1, 4), max_size=10))
def test_any_batching_keeps_the_same_rows_even_where_the_clock_went_back(
    stored_at_us: list[int], batches: list[int]
) -> None:
    expected = [n for n, at in enumerate(stored_at_us) if all(later < at + KEPT_US for later in stored_at_us[n:])]
    assert kept(stored_at_us, batches) == expected


@pytest.mark.parametrize("raw", [b"\xff", b'"\0"'])
def test_what_no_text_column_can_hold_is_not_taken(raw: bytes) -> None:
    rejects = RejectRows()
    assert not rejects.add(REQUEST, 1, 0, rejected(raw=raw))
    assert rejects.add(REQUEST, 1, 0, rejected(raw=b'"\\ud83d \\u0000"'))
    assert [reject.raw for reject in rejects.rows] == ['"\\ud83d \\u0000"']
