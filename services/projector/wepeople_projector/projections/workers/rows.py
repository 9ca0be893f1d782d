"""What a batch changes about workers."""

from dataclasses import dataclass, field

from wepeople_projector.identity import Bound, Change, Conflicted, Founded, Identifier


@dataclass(slots=True)
class WorkerRows:
    """New rows of the tables about workers, each with the instant of the message that caused it (microseconds).

    `founded` and `bound` were not there before; the others may have been: of those the first is kept.
    """

    founded: dict[tuple[str, str], int] = field(default_factory=dict)
    bound: dict[Identifier, str] = field(default_factory=dict)
    connections: dict[tuple[str, str, str], int] = field(default_factory=dict)
    conflicts: dict[Conflicted, tuple[int, int]] = field(default_factory=dict)
    directory: dict[tuple[str, str], str] = field(default_factory=dict)

    def add_change(self, change: Change, sequence: int, at_us: int) -> None:
        """Add what identity decided."""
        match change:
            case Founded(org_id, worker_id):
                self.founded[org_id, worker_id] = at_us
            case Bound(identifier, worker_id):
                self.bound[identifier] = worker_id
            case Conflicted():
                self.conflicts.setdefault(change, (sequence, at_us))

    def add_connection(self, org_id: str, worker_id: str, connection: str, at_us: int) -> None:
        """Add that an app has sent something about a worker."""
        self.connections.setdefault((org_id, worker_id, connection), at_us)

    def add_to_directory(self, org_id: str, worker_id: str, name: str) -> None:
        """Add that the directory names a worker; an empty name leaves the one it has."""
        self.directory[org_id, worker_id] = name or self.directory.get((org_id, worker_id), "")
