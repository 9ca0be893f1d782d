"""How much of a stream may go. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limit:
    """Something wants all from the sequence `keeps` on to stay, and why."""

    keeps: int
    why: str


@dataclass(frozen=True, slots=True)
class Reader:
    """Whoever reads the stream and says how far it is: the last sequence of each partition that it needs no more."""

    name: str
    positions: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Plan:
    """Of one stream: messages before the sequence `before` may go, of which it has some only if that is more than its
    first; `held` is what keeps the next ones, the tightest first.
    """

    stream: str
    first: int
    before: int
    held: Sequence[Limit]

    @property
    def trims(self) -> bool:
        """Whether anything goes."""
        return self.before > self.first


def plan(
    *,
    stream: str,
    partitions: Iterable[int],
    first: int,
    last: int,
    unverified: Mapping[int, int | None],
    readers: Iterable[Reader],
    young_from: int,
    others: Iterable[Limit] = (),
) -> Plan:
    """What may go of a stream that has messages from `first` to `last`.

    `unverified` is each partition's first message that is in no verified file, None where all are; what was stored at
    or after `young_from` stays, and so do the last message of all, and all from `being_read` on, where somebody reads
    just now.
    """
    taken = sorted(partitions)
    limits = [Limit(young_from, "it is too young"), Limit(last, "it is the last"), *others]
    limits += [
        Limit(sequence, f"partition {partition} is archived and verified only up to there")
        for partition in taken
        if (sequence := unverified[partition]) is not None
    ]
    limits += [
        Limit(reader.positions.get(partition, 0) + 1, f"{reader.name} has read partition {partition} only up to there")
        for reader in readers
        for partition in taken
    ]
    limits.sort(key=lambda limit: limit.keeps)
    before = max(limits[0].keeps, first)
    return Plan(stream, first, before, [limit for limit in limits if limit.keeps <= before])
