"""What the partitions of one run have in common."""

from dataclasses import dataclass, field, replace
from typing import Protocol

from nats.aio.client import Client

from wepeople_chassis.postgres import Pool
from wepeople_projections.definition.projection import Definition
from wepeople_projections.folding.position import Position
from wepeople_projections.running.months import Months
from wepeople_projections.running.options import RunOptions
from wepeople_projections.running.pace import Pace
from wepeople_projections.running.room import Room


class Observer(Protocol):
    """Is told of every commit, once it is visible, and of where a partition begins."""

    async def committed(self, partition: int, position: Position, rows: int, pending: int) -> None:
        """`rows` were applied up to `position`; `pending` messages of the partition were left then."""


@dataclass(frozen=True, slots=True)
class Job:
    """One process's part in a run of a projection into a schema."""

    definition: Definition
    schema: str
    connection: Client
    pool: Pool
    options: RunOptions
    observe: Observer
    pace: Pace = field(default_factory=Pace)
    room: Room = field(default_factory=Room)
    months: Months = field(default_factory=Months)

    def of_partition(self, partition: int) -> "Job":
        """The same, in the sequences of one partition."""
        selection = self.options.selection.of_partition(partition)
        return replace(self, options=replace(self.options, selection=selection))
