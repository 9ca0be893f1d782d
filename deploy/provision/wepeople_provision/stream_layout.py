"""Decides which partitions are in which stream: of a new deployment, and when streams are split.

A stream is named after the lowest of its partitions, so that names never collide, however often streams are split.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from wepeople_contracts.subjects import PARTITIONS, STREAMS
from wepeople_provision.errors import ProvisionError


@dataclass(frozen=True, slots=True)
class Place:
    """A stream, the partitions that it takes, and how much is in it."""

    name: str
    partitions: frozenset[int]
    size_bytes: int = 0

    def __str__(self) -> str:
        return f"{self.name} (partitions {spelled(self.partitions)})"


@dataclass(frozen=True, slots=True)
class Split:
    """The upper half of a stream's partitions goes to a new stream, with its whole history."""

    old: str
    new: str
    staying: frozenset[int]
    moving: frozenset[int]

    def __str__(self) -> str:
        return f"{self.old} keeps partitions {spelled(self.staying)}, {self.new} gets {spelled(self.moving)}"


def name_of(partitions: Iterable[int]) -> str:
    """What a stream that is made for these partitions is called."""
    return STREAMS[min(partitions)]


def evenly(streams: int) -> list[Place]:
    """The streams of a new deployment, which has so many: 1, 2, 4, 8 or 16."""
    each = PARTITIONS // streams
    shares = [frozenset(range(first, first + each)) for first in range(0, PARTITIONS, each)]
    return [Place(name_of(share), share) for share in shares]


def halves(place: Place) -> Split:
    """How a stream is split; `ProvisionError` when it has one partition, the most that can be parted."""
    ordered = sorted(place.partitions)
    if len(ordered) < 2:  # noqa: PLR2004
        raise ProvisionError(f"{place} has one partition: an org's history is never parted. Nothing was changed.")
    middle = (len(ordered) + 1) // 2
    moving = frozenset(ordered[middle:])
    return Split(place.name, name_of(moving), frozenset(ordered[:middle]), moving)


def splits_of(places: Sequence[Place], name: str | None, into: int | None) -> list[Split]:
    """What to split: the stream called `name`, or the only one; or as many as it takes until there are `into` streams,
    each time the one with the most partitions, of several the largest. `ProvisionError` when that cannot be.
    """
    if into is not None:
        return _until(list(places), into)
    if name is None and len(places) > 1:
        raise ProvisionError(f"Which one? There are {', '.join(map(str, places))}. Name it, or use --into.")
    chosen = [place for place in places if name in (None, place.name)]
    if not chosen:
        raise ProvisionError(f"There is no stream {name}. There are {', '.join(map(str, places))}.")
    return [halves(chosen[0])]


def _until(places: list[Place], into: int) -> list[Split]:
    if into < len(places):
        raise ProvisionError(f"There are {len(places)} streams already; streams are split, never joined.")
    splits: list[Split] = []
    while len(places) < into:
        largest = max(places, key=lambda place: (len(place.partitions), place.size_bytes))
        split = halves(largest)
        splits.append(split)
        half = largest.size_bytes // 2
        places.remove(largest)
        places += [Place(split.old, split.staying, half), Place(split.new, split.moving, half)]
    return splits


def spelled(partitions: Iterable[int]) -> str:
    """Partitions for people: `0-7, 12`."""
    runs: list[list[int]] = []
    for partition in sorted(partitions):
        if runs and partition == runs[-1][-1] + 1:
            runs[-1].append(partition)
        else:
            runs.append([partition])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)
