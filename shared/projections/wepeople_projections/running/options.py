"""How a projection is run."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from wepeople_contracts.subjects import PARTITIONS
from wepeople_projections.definition.selection import Selection
from wepeople_projections.postgres.about import OnPoison

BATCH_BYTES = 4 * 1024 * 1024
"""Some 15,000 rows of the usual size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """`until`: the sequence at which each partition ends, inclusive; without, and without an end in the selection, it
    runs for ever. `skipped`: rows (sequence, index; -1 for a whole message) that are passed over, by partition.
    `gives_way`: whether the live read models go first.
    """

    selection: Selection = field(default_factory=Selection)
    until: Mapping[int, int] | None = None
    partitions: tuple[int, ...] = tuple(range(PARTITIONS))
    on_poison: OnPoison = "park"
    skipped: Mapping[int, frozenset[tuple[int, int]]] = field(default_factory=dict)
    gives_way: bool = True
    batch_bytes: int = BATCH_BYTES
