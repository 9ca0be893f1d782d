"""What may stand on an app's whitelist: exactly what a row may carry."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wepeople_auth.directory.whitelist import MAX_EVENT_TYPES, check_count, checked_event_types
from wepeople_chassis.rpc import Refused


def test_each_event_type_stands_once_and_in_order() -> None:
    assert checked_event_types(["deploy.shipped", "a_b-1", "deploy.shipped"]) == ["a_b-1", "deploy.shipped"]


@given(st.text(st.sampled_from("az09._-AZ é\n"), max_size=6))
def test_an_event_type_is_allowed_if_and_only_if_a_row_may_carry_it(event_type: str) -> None:
    if re.fullmatch(r"[a-z0-9._-]{1,128}", event_type):
        assert checked_event_types([event_type]) == [event_type]
    else:
        with pytest.raises(Refused) as refused:
            checked_event_types([event_type])
        assert refused.value.error.code == "invalid"
        assert repr(event_type) in refused.value.error.message


def test_an_event_type_has_at_most_128_characters() -> None:
    assert checked_event_types(["x" * 128])
    with pytest.raises(Refused):
        checked_event_types(["x" * 129])


def test_a_whitelist_is_bounded() -> None:
    check_count(MAX_EVENT_TYPES)
    with pytest.raises(Refused):
        checked_event_types([f"type.{n}" for n in range(MAX_EVENT_TYPES + 1)])
