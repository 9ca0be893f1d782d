"""A lag ends with the first look at the table that saw the rows."""

import pytest

from bench.lag import Observation, lags
from bench.load import Accepted

LOOKS = [Observation(10.0, 4), Observation(10.5, 4), Observation(11.0, 7), Observation(11.5, 9)]


def test_a_lag_lasts_from_the_answer_to_the_first_look_that_saw_the_request() -> None:
    accepted = [Accepted("a", 10.25), Accepted("b", 10.25), Accepted("c", 11.25)]
    assert lags(accepted, {"a": 5, "b": 7, "c": 9}, LOOKS) == [0.75, 0.75, 0.25]


def test_rows_that_were_visible_before_their_answer_arrived_have_no_lag() -> None:
    assert lags([Accepted("a", 10.25)], {"a": 4}, LOOKS) == [0.0]


def test_an_accepted_request_that_is_not_in_the_table_is_an_error() -> None:
    with pytest.raises(KeyError, match="lost"):
        lags([Accepted("lost", 10.0)], {"a": 4}, LOOKS)


def test_a_request_that_no_look_saw_is_an_error() -> None:
    with pytest.raises(ValueError, match="never seen"):
        lags([Accepted("a", 10.0)], {"a": 10}, LOOKS)
