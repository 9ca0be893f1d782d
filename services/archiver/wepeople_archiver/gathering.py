"""What is read and not yet in a file, and when a file is due. Pure: it asks no clock."""

from dataclasses import dataclass, field

from wepeople_archive.file import MessageFile
from wepeople_chassis.stream import StoredMessage


@dataclass(frozen=True, slots=True)
class Limits:
    """A partition's file is due at the first of these; `waiting_bytes` are for all partitions together."""

    file_bytes: int
    file_messages: int
    file_seconds: float
    waiting_bytes: int


@dataclass(slots=True)
class Gathered:
    """One partition: all it has after the sequence `after` and up to what was read last.

    `expected` is the file that begins after `after`, where there is one already that nobody has compared. `later` are
    the sequences after which later files begin: where one before them was taken away, it is written again up to there.
    """

    after: int
    messages: list[StoredMessage] = field(default_factory=list)
    size: int = 0
    since: float = 0.0
    expected: MessageFile | None = None
    later: tuple[int, ...] = ()

    def add(self, message: StoredMessage, now: float) -> None:
        """Take a message, unless it is in a file already; `now` is in seconds, of any clock."""
        if message.sequence <= (self.messages[-1].sequence if self.messages else self.after):
            return
        if not self.messages:
            self.since = now
        self.messages.append(message)
        self.size += len(message.data)

    def reaches(self, file: MessageFile) -> bool:
        """Whether all that a file holds was read."""
        return bool(self.messages) and self.messages[-1].sequence >= file.contents.through

    def within(self, file: MessageFile) -> list[StoredMessage]:
        """What was read of what a file holds."""
        return [message for message in self.messages if message.sequence <= file.contents.through]

    def up_to_the_next_file(self) -> list[StoredMessage]:
        """What a file is to hold: all, but nothing of a later one that is there."""
        end = min((start for start in self.later if start > self.after), default=None)
        return [message for message in self.messages if end is None or message.sequence <= end]

    def settle(self, file: MessageFile, now: float) -> None:
        """What a file holds need not be kept."""
        self.after, self.expected, self.since = file.contents.through, None, now
        self.messages = [message for message in self.messages if message.sequence > self.after]
        self.size = sum(len(message.data) for message in self.messages)


def due(partitions: dict[int, Gathered], limits: Limits, now: float) -> list[int]:
    """The partitions of which a file should be written now, or compared with the one that is there."""
    found = [number for number, gathered in partitions.items() if _is_due(gathered, limits, now)]
    writable = {n: g.size for n, g in partitions.items() if g.messages and g.expected is None and n not in found}
    waiting = sum(gathered.size for number, gathered in partitions.items() if number not in found)
    while waiting > limits.waiting_bytes and writable:
        fullest = max(writable, key=writable.__getitem__)
        waiting -= writable.pop(fullest)
        found.append(fullest)
    return found


def _is_due(gathered: Gathered, limits: Limits, now: float) -> bool:
    if gathered.expected is not None:
        return gathered.reaches(gathered.expected)
    return bool(gathered.messages) and (
        gathered.size >= limits.file_bytes
        or len(gathered.messages) >= limits.file_messages
        or now >= gathered.since + limits.file_seconds
    )
