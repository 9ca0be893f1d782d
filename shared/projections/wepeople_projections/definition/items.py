"""What handlers are given: the stream's content, decoded, with the worker that each row is about."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

import msgspec
from msgspec import Struct

from wepeople_contracts.directory import DirectoryFact
from wepeople_contracts.envelope import RejectedRow
from wepeople_projections.folding.identity import Conflicted, Identifier
from wepeople_projections.times import as_datetime


class Request(Struct, frozen=True, gc=False):
    """A stored request; `accepted` and `rejected` count its rows as they were answered.

    Instants are microseconds since 1970 UTC. `received_at_us` is the gateway's clock, `stored_at_us` the stream's.
    """

    request_id: str
    org_id: str
    app_id: str
    connection: str
    kind: Literal["events", "snapshot"]
    sequence: int
    received_at_us: int
    stored_at_us: int
    accepted: int
    rejected: int

    @property
    def received_at(self) -> datetime:
        """When the gateway received it, in UTC."""
        return as_datetime(self.received_at_us)


class Event(Struct, frozen=True, gc=False):
    """An accepted event, the first of its id. `index` is its place in the request, `duration` in seconds;
    `worker_id` is "" in a projection with `resolves_workers = False`.
    """

    request: Request
    event_id: str
    index: int
    worker_id: str
    event_type: str
    category: str
    occurred_at_us: int
    duration: float | None
    metadata_raw: bytes | None

    @property
    def org_id(self) -> str:
        """The org whose event it is."""
        return self.request.org_id

    @property
    def connection(self) -> str:
        """`custom:<slug>` of the app that sent it."""
        return self.request.connection

    @property
    def occurred_at(self) -> datetime:
        """When it happened, in UTC: its own timestamp, or when it was received if it has none."""
        return as_datetime(self.occurred_at_us)

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The metadata, decoded at each call; empty when there is none."""
        return {} if self.metadata_raw is None else msgspec.json.decode(self.metadata_raw)


class Snapshot(Struct, frozen=True, gc=False):
    """How things stand with a worker. `observed_at_us` is never later than the receipt."""

    request: Request
    event_id: str
    worker_id: str
    snapshot_type: str
    observed_at_us: int
    metrics_raw: bytes

    @property
    def org_id(self) -> str:
        """The org whose snapshot it is."""
        return self.request.org_id

    @property
    def connection(self) -> str:
        """`custom:<slug>` of the app that sent it."""
        return self.request.connection

    @property
    def observed_at(self) -> datetime:
        """When it was so, in UTC."""
        return as_datetime(self.observed_at_us)

    @property
    def metrics(self) -> Mapping[str, Any]:
        """The metrics, decoded at each call."""
        metrics: Mapping[str, Any] = msgspec.json.decode(self.metrics_raw)
        return metrics


class Reject(Struct, frozen=True, gc=False):
    """A row of a request that was refused; `row` has it as received, with the reason."""

    request: Request
    row: RejectedRow


class Fact(Struct, frozen=True, gc=False):
    """A fact of an org's directory; `body` is one of the contract's types."""

    sequence: int
    stored_at_us: int
    body: DirectoryFact

    @property
    def org_id(self) -> str:
        """The org that it is about."""
        return self.body.org_id


class Identified(Struct, frozen=True, gc=False):
    """What a row, or an entry of an import, taught about who a worker is. It comes before the row itself, and only
    where something may be new: not for every row.

    `founded`: the worker did not exist before. `bound` are the identifiers that are the worker's from now on,
    `conflicts` those that spoke against it. `connection` is the app's that sent the row, None for an import;
    `imported_name` the directory's name of the worker (perhaps empty), None for a row.
    """

    org_id: str
    worker_id: str
    sequence: int
    at_us: int
    founded: bool
    bound: list[Identifier]
    conflicts: list[Conflicted]
    connection: str | None
    imported_name: str | None
