"""The memory of bodies: bounded for all together, and small ones are let in beside large ones."""

from contextlib import ExitStack, suppress

import pytest

from wepeople_gateway.errors import ApiError
from wepeople_gateway.ingest.body import MemoryBudget

MEBIBYTE = 1024 * 1024


def test_bodies_past_the_limit_are_503_until_others_are_done() -> None:
    budget = MemoryBudget(9 * MEBIBYTE)
    with budget.account() as first, budget.account() as second:
        first.take(5 * MEBIBYTE)
        second.take(4 * MEBIBYTE)
        with pytest.raises(ApiError) as refused:
            second.take(1)
        assert refused.value.code == "unavailable"
    with budget.account() as third:
        third.take(9 * MEBIBYTE)


def test_a_small_body_is_let_in_while_large_ones_hold_all_there_is() -> None:
    budget = MemoryBudget(9 * MEBIBYTE)
    with budget.account() as large:
        large.take(9 * MEBIBYTE)
        for _ in range(1000):
            with budget.account() as small:
                small.take(1000)


def test_small_bodies_are_bounded_too() -> None:
    budget = MemoryBudget(9 * MEBIBYTE)
    with ExitStack() as stack:
        admitted = 0
        with suppress(ApiError):
            while admitted < 1000:
                stack.enter_context(budget.account()).take(64 * 1024)
                admitted += 1
    assert 9 * 16 <= admitted < 1000
