"""The rate of rows that come many at a time."""

import pytest

from bench.commits import Look, rate_of_commits


def test_the_rate_is_from_the_first_commit_that_was_seen_to_the_last() -> None:
    looks = [Look(0.0, 500), Look(1.0, 1000), Look(2.0, 1000), Look(3.0, 2000), Look(5.0, 5000), Look(9.0, 5000)]

    assert rate_of_commits(looks) == (5000 - 1000) / (5.0 - 1.0)


@pytest.mark.parametrize("rows", [[], [5], [5, 5, 5], [0, 5, 5]])
def test_fewer_than_two_commits_have_no_rate(rows: list[int]) -> None:
    with pytest.raises(ValueError, match="commits"):
        rate_of_commits([Look(float(at), of) for at, of in enumerate(rows)])
