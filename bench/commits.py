"""How fast rows become visible that come many at a time. Pure."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple


class Look(NamedTuple):
    """So many rows were visible at `at` (monotonic seconds)."""

    at: float
    rows: int


def rate_of_commits(looks: Sequence[Look]) -> float:
    """Rows per second from the first change that was seen to the last; `ValueError` when fewer than two were.

    From commit to commit, because a commit brings the rows of a second: where the first and the last look fall between
    two of them would weigh more than what is measured.
    """
    changes = [look for before, look in pairwise(looks) if look.rows != before.rows]
    if len(changes) < 2:
        raise ValueError(f"{len(looks)} looks saw {len(changes)} commits")
    first, last = changes[0], changes[-1]
    return (last.rows - first.rows) / (last.at - first.at)
