"""Who there is: workers with all that is known of them, and where identifiers disagreed."""

from typing import Annotated

from msgspec import Meta

from wepeople_projections import (
    Emitted,
    First,
    Greatest,
    Identified,
    Instant,
    Known,
    Operation,
    Projection,
    Row,
    United,
    insert,
    on_identified,
    table,
    upsert,
)
from wepeople_projections.folding.identity import Conflicted


@table(key=("worker_id",), name="workers")
class Worker(Row, frozen=True):
    """Everybody an org has heard of: from its directory, or provisioned by the first event that named them."""

    worker_id: Annotated[
        str,
        Meta(description="Derived from the identifier the worker was first seen with; the same in every rebuild."),
    ]
    name: Annotated[Known[str | None], Meta(description="From the org's directory; NULL until an import brings one.")]
    emails: Annotated[United[list[str]], Meta(description="Trimmed and case-folded, in the order first seen.")]
    external_ids: Annotated[
        United[list[str]],
        Meta(description="Ids that the org's apps know the worker by, in the order first seen; each is its app's own."),
    ]
    connections: Annotated[
        United[list[str]],
        Meta(
            description="custom:<slug> of every app that has sent something about the worker, in the order first seen."
        ),
    ]
    in_directory: Annotated[Greatest[bool], Meta(description="Whether a directory import named the worker.")]
    first_seen_at: Annotated[
        First[Instant], Meta(description="When the message that brought the worker into being was received.")
    ]


@table(key=("worker_id", "reason", "kind", "scope", "value"), name="identity_conflicts")
class IdentityConflict(Row, frozen=True):
    """The first time that an identifier spoke against the worker a row was given to: the stronger one won, nothing was
    merged.
    """

    reason: Annotated[
        str, Meta(description="bound_to_another, or unknown_worker_id: a workerId of nobody in this org.")
    ]
    kind: Annotated[str, Meta(description="workerId, externalId or email.")]
    scope: Annotated[str, Meta(description="The app that an externalId is of; else the org.")]
    value: str
    worker_id: Annotated[str, Meta(description="Who got the row.")]
    other_worker_id: Annotated[
        First[str | None], Meta(description="Whom the weaker identifier is bound to, if anybody.")
    ]
    sequence: Annotated[First[int], Meta(description="The position in the stream of the message that had the row.")]
    found_at: Annotated[First[Instant], Meta(description="When that message was received.")]


class Workers(Projection):
    """Workers, founded and taught by the rows and imports that name them."""

    name = "workers"
    version = 1
    tables = (Worker, IdentityConflict)

    @on_identified()
    def learn(self, seen: Identified) -> Emitted:
        """What a row or an import has taught about a worker."""
        bound = seen.bound
        worker = Worker(
            seen.org_id,
            seen.worker_id,
            seen.imported_name or None,
            [identifier.value for identifier in bound if identifier.kind == "email"],
            [identifier.value for identifier in bound if identifier.kind == "externalId"],
            [] if seen.connection is None else [seen.connection],
            seen.imported_name is not None,
            seen.at_us,
        )
        # Most workers are written once, when they are founded: an insert is the cheapest way.
        learnt = insert(worker) if seen.founded else upsert(worker)
        return [learnt, *(self._recorded(seen, conflict) for conflict in seen.conflicts)] if seen.conflicts else learnt

    def _recorded(self, seen: Identified, conflict: Conflicted) -> Operation:
        identifier = conflict.identifier
        return upsert(
            IdentityConflict(
                org_id=seen.org_id,
                reason=conflict.reason,
                kind=identifier.kind,
                scope=identifier.scope,
                value=identifier.value,
                worker_id=conflict.worker_id,
                other_worker_id=conflict.other,
                sequence=seen.sequence,
                found_at=seen.at_us,
            )
        )
