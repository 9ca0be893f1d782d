"""A proof remembers which names it has seen, in little memory."""

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from wepeople_projector.hashes import Hashes


@given(st.lists(st.integers(0, 2**64 - 1) | st.integers(1, 300)))
def test_each_hash_is_new_once(values: list[int]) -> None:
    seen, model = Hashes(), set[int]()
    for value in values:
        # 0 marks what is free, and counts as 1.
        known = value or 1
        assert seen.add(value) == (known not in model)
        model.add(known)
    assert len(seen) == len(model)


def test_a_hundred_thousand_take_no_more_than_32_bytes_each_and_twice_that_while_they_are_moved() -> None:
    spread = [number * 0x9E3779B97F4A7C15 % 2**64 for number in range(1, 100_001)]
    tracemalloc.start()
    try:
        seen = Hashes()
        for value in spread:
            seen.add(value)
        now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(seen) == 100_000
    assert now <= 32 * 100_000
    assert peak <= 64 * 100_000
