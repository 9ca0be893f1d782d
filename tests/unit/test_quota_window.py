"""Rate windows against a brute-force reference: exact, free of charge when refused, and truthful about the wait."""

from dataclasses import dataclass
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from wepeople_quota.window import WINDOW_NS, Passed, Refused, Windows

SECOND = WINDOW_NS


@dataclass(frozen=True)
class Ask:
    after_ns: int
    key: str
    org: str


gaps = st.one_of(
    st.just(0),
    st.integers(1, 50_000_000),
    st.integers(200_000_000, 400_000_000),
    st.sampled_from([SECOND - 1, SECOND, SECOND + 1]),
)
asks = st.lists(
    st.builds(Ask, after_ns=gaps, key=st.sampled_from(["k1", "k2", "k3"]), org=st.sampled_from(["o1", "o2"])),
    max_size=120,
)
limits = st.integers(1, 6)


def ask(
    windows: Windows, now_ns: int, *, key: str = "k", org: str = "o", key_limit: int, org_limit: int = 10**6
) -> Passed | Refused:
    return windows.ask(key_id=key, key_limit=key_limit, org_id=org, org_limit=org_limit, now_ns=now_ns)


@given(asks, limits, limits)
def test_a_request_passes_exactly_when_fewer_than_the_limit_passed_in_the_second_before(
    sequence: list[Ask], key_limit: int, org_limit: int
) -> None:
    windows, now_ns = Windows(), 0
    passed: list[tuple[int, Ask]] = []
    for one in sequence:
        now_ns += one.after_ns
        recent = [other for at, other in passed if now_ns - SECOND < at]
        of_key = sum(other.key == one.key for other in recent)
        of_org = sum(other.org == one.org for other in recent)
        verdict = ask(windows, now_ns, key=one.key, org=one.org, key_limit=key_limit, org_limit=org_limit)
        assert isinstance(verdict, Passed) == (of_key < key_limit and of_org < org_limit)
        if isinstance(verdict, Refused):
            assert verdict.scope == ("key" if of_key >= key_limit else "org")
            assert verdict.key.remaining == key_limit - of_key
        else:
            assert verdict.key.remaining == key_limit - of_key - 1
            passed.append((now_ns, one))


@given(asks, limits, limits)
def test_no_half_open_second_holds_more_than_the_limit(sequence: list[Ask], key_limit: int, org_limit: int) -> None:
    windows, now_ns = Windows(), 0
    passed: list[tuple[int, Ask]] = []
    for one in sequence:
        now_ns += one.after_ns
        if isinstance(ask(windows, now_ns, key=one.key, org=one.org, key_limit=key_limit, org_limit=org_limit), Passed):
            passed.append((now_ns, one))
    for begin, first in passed:
        inside = [other for at, other in passed if begin <= at < begin + SECOND]
        assert sum(other.key == first.key for other in inside) <= key_limit
        assert sum(other.org == first.org for other in inside) <= org_limit


@given(asks, limits, limits)
def test_a_refusal_costs_nothing(sequence: list[Ask], key_limit: int, org_limit: int) -> None:
    all_asked, only_those_that_pass = Windows(), Windows()
    now_ns = 0
    for one in sequence:
        now_ns += one.after_ns
        whose: dict[str, Any] = {"key": one.key, "org": one.org, "key_limit": key_limit, "org_limit": org_limit}
        verdict = ask(all_asked, now_ns, **whose)
        if isinstance(verdict, Passed):
            assert ask(only_those_that_pass, now_ns, **whose) == verdict


@given(asks, limits, limits, st.integers(1, 6))
def test_whoever_waits_as_long_as_told_gets_through_and_a_moment_less_is_too_early(
    sequence: list[Ask], key_limit: int, org_limit: int, lower_limit: int
) -> None:
    windows, now_ns = Windows(), 0
    for one in sequence:
        now_ns += one.after_ns
        ask(windows, now_ns, key=one.key, org=one.org, key_limit=key_limit, org_limit=org_limit)
    again: dict[str, Any] = {"key": "k1", "org": "o1", "key_limit": min(key_limit, lower_limit), "org_limit": org_limit}
    verdict = ask(windows, now_ns, **again)
    if isinstance(verdict, Refused):
        early = ask(windows, now_ns + verdict.retry_after_ns - 1, **again)
        assert isinstance(early, Refused)
        assert early.retry_after_ns == 1
        assert isinstance(ask(windows, now_ns + verdict.retry_after_ns, **again), Passed)


def test_a_client_that_asks_too_often_still_gets_its_whole_rate() -> None:
    windows = Windows()
    passed = [n for n in range(0, 10 * SECOND, SECOND // 61) if isinstance(ask(windows, n, key_limit=60), Passed)]
    assert 590 <= len(passed) <= 600


def test_a_noisy_key_does_not_eat_its_neighbours_share_of_the_org() -> None:
    windows = Windows()
    for n in range(100):
        ask(windows, n, key="noisy", key_limit=2, org_limit=4)
    assert isinstance(ask(windows, 100, key="quiet", key_limit=2, org_limit=4), Passed)
    assert isinstance(ask(windows, 101, key="quiet", key_limit=2, org_limit=4), Passed)
    refused = ask(windows, 102, key="third", key_limit=2, org_limit=4)
    assert isinstance(refused, Refused)
    assert refused.scope == "org"


def test_the_window_resets_when_its_oldest_request_leaves() -> None:
    windows = Windows()
    ask(windows, 0, key_limit=3)
    verdict = ask(windows, 400_000_000, key_limit=3)
    assert (verdict.key.remaining, verdict.key.reset_ns) == (1, 600_000_000)


def test_windows_in_which_nothing_is_left_are_dropped_and_no_others() -> None:
    windows = Windows()
    ask(windows, 0, key="old", org="old", key_limit=1)
    ask(windows, SECOND // 2, key="young", org="young", key_limit=1)
    windows.drop_idle(SECOND)
    assert len(windows) == 2
    assert isinstance(ask(windows, SECOND, key="young", org="young", key_limit=1), Refused)
