"""How far a partition has been applied, and the proof that the stream is still the one it was applied from."""

from dataclasses import dataclass, replace

from wepeople_chassis.stream import StoredMessage
from wepeople_projections.errors import ProjectionError


@dataclass(frozen=True, slots=True)
class Position:
    """Nothing up to and including `sequence` is missing; the last message applied was `message_id` at
    `message_sequence` (0: none yet).
    """

    stream_identity: str
    sequence: int = 0
    message_sequence: int = 0
    message_id: str = ""

    def after(self, message: StoredMessage) -> "Position":
        """The position once a message is applied."""
        return replace(
            self, sequence=message.sequence, message_sequence=message.sequence, message_id=message.message_id
        )


class Fenced(ProjectionError):
    """Somebody else moved the partition's checkpoint: what is in memory is no longer true."""

    def __init__(self, partition: int, expected: int) -> None:
        super().__init__(f"the checkpoint of partition {partition} is no longer at {expected}")
        self.partition = partition
        self.expected = expected
