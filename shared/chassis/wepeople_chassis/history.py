"""What the stream no longer has: a port, behind which an archive may be.

Found by the entry point `wepeople.history`, as commands and schemas are: neither a reader of the stream nor its callers
know how an archive is kept, and an image without that member carries nothing of it.
"""

from collections.abc import AsyncGenerator, Collection
from importlib.metadata import entry_points
from typing import Protocol

from wepeople_chassis.stream import Batch

GROUP = "wepeople.history"


class History(Protocol):
    """Messages that were trimmed from the stream."""

    def batches(
        self, *, identity: str, partitions: Collection[int], filter_subject: str, after: int, before: int
    ) -> AsyncGenerator[Batch]:
        """Yield all messages of a filter after a sequence and before another, in order; the last batch is through the
        one before that. `StreamError` when some are missing, or nobody can tell.
        """


def known_history() -> History | None:
    """The archive that this process's environment names; None when it names none, or nothing here can read one."""
    for entry in entry_points(group=GROUP):
        history: History | None = entry.load()()
        return history
    return None
