"""What a batch changes about workers."""

from dataclasses import dataclass, field

from msgspec import Struct

from wepeople_projector.identity import Conflicted, Identifier, Resolution


class WorkerChange(Struct):
    """What a batch adds to a worker, or, if `founded_at_us` is set, the whole new worker.

    An empty `name` leaves the one it has; the lists are in the order first seen.
    """

    org_id: str
    worker_id: str
    founded_at_us: int | None = None
    name: str = ""
    in_directory: bool = False
    emails: list[str] = []
    external_ids: list[str] = []
    connections: list[str] = []


@dataclass(slots=True)
class WorkerRows:
    """The changed workers by org and id; the identifiers bound, none of which was before; and the conflicts, each with
    the sequence and instant (microseconds) of the first row that had it.
    """

    changed: dict[tuple[str, str], WorkerChange] = field(default_factory=dict)
    bound: dict[Identifier, str] = field(default_factory=dict)
    conflicts: dict[Conflicted, tuple[int, int]] = field(default_factory=dict)

    def add_resolution(self, org_id: str, resolution: Resolution, sequence: int, at_us: int) -> None:
        """Add what identity decided about a row of the message at `sequence`."""
        if resolution.founded:
            self._of(org_id, resolution.worker_id).founded_at_us = at_us
        for identifier in resolution.bound:
            self.bound[identifier] = resolution.worker_id
            worker = self._of(org_id, resolution.worker_id)
            _append_new(worker.emails if identifier.kind == "email" else worker.external_ids, identifier.value)
        for conflict in resolution.conflicts:
            self.conflicts.setdefault(conflict, (sequence, at_us))

    def add_connection(self, org_id: str, worker_id: str, connection: str) -> None:
        """Add that an app has sent something about a worker."""
        _append_new(self._of(org_id, worker_id).connections, connection)

    def add_to_directory(self, org_id: str, worker_id: str, name: str) -> None:
        """Add that the directory names a worker."""
        worker = self._of(org_id, worker_id)
        worker.in_directory = True
        worker.name = name or worker.name

    def _of(self, org_id: str, worker_id: str) -> WorkerChange:
        change = self.changed.get((org_id, worker_id))
        if change is None:
            change = self.changed[org_id, worker_id] = WorkerChange(org_id, worker_id)
        return change


def _append_new(values: list[str], value: str) -> None:
    if value not in values:
        values.append(value)
