"""What may be wrong with an archive."""

from wepeople_chassis.stream import StreamError


class ArchiveError(StreamError):
    """The archive cannot give what it should: an operator must decide."""


class Damaged(ArchiveError):
    """A file does not hold what was written to it."""

    def __init__(self, name: str, what: str) -> None:
        super().__init__(f"the archive's file {name} is damaged: {what}; bring it back from a copy of the archive")
        self.name = name


class StorageAway(ConnectionError):
    """Object storage does not answer, or not in time: what was asked may be asked again."""
