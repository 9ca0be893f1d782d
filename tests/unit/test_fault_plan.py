"""The plan of a kill loop: fair to every part, and the same for the same seed."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from tests.support.strikes import VICTIMS, plan


@given(st.integers(0, 2**32), st.integers(1, 25))
def test_every_part_is_killed_as_often_as_asked(seed: int, kills: int) -> None:
    assert Counter(victim for strike in plan(seed, kills) for victim in strike.victims) == dict.fromkeys(VICTIMS, kills)


@given(st.integers(0, 2**32))
def test_a_seed_decides_the_whole_plan(seed: int) -> None:
    assert plan(seed, 3) == plan(seed, 3)


@given(st.integers(0, 2**32))
def test_nothing_is_killed_twice_in_one_strike(seed: int) -> None:
    assert all(len(set(strike.victims)) == len(strike.victims) for strike in plan(seed, 5))
