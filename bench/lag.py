"""How long after its 202 a request could be read. Pure."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from bench.load import Accepted


class Observation(NamedTuple):
    """A look at the database that ended at `at` (monotonic seconds): rows up to `sequence` were visible."""

    at: float
    sequence: int


def lags(
    accepted: Iterable[Accepted], sequences: Mapping[str, int], observations: Sequence[Observation]
) -> list[float]:
    """Seconds from each 202 to the first look that saw its rows; 0 for rows that were visible before their 202.

    Too long by up to the distance of two looks, never too short. `KeyError` for a request that was accepted and is
    not in the table, `ValueError` when no look saw it.
    """
    seen = [observation.sequence for observation in observations]
    found = []
    for answer in accepted:
        position = bisect_left(seen, sequences[answer.request_id])
        if position == len(seen):
            raise ValueError(f"request {answer.request_id} was never seen in the table")
        found.append(max(0.0, observations[position].at - answer.at))
    return found
