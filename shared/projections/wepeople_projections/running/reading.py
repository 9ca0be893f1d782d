"""What of the stream a projection has to read."""

from collections.abc import Mapping

from wepeople_chassis.stream import StreamState
from wepeople_contracts.subjects import org_filter, partition_filter, partition_of
from wepeople_projections.definition.projection import Definition
from wepeople_projections.definition.selection import Selection


def nothing_of(partition: int) -> str:
    """A subject of a partition under which nothing is ever stored."""
    return f"ingest.{partition}.-.-.-"


def reading_filter(partition: int, selection: Selection) -> str | None:
    """The subjects of a partition that may hold what is selected; None when there cannot be any."""
    if not selection.org_ids:
        return partition_filter(partition)
    orgs = [org_id for org_id in selection.org_ids if partition_of(org_id) == partition]
    if not orgs:
        return None
    return org_filter(orgs[0]) if len(orgs) == 1 else partition_filter(partition)


def first_position(definition: Definition, selection: Selection, stream: StreamState) -> int:
    """After which sequence a new projection begins: only one that resolves no workers needs nothing of what was before
    its selection.
    """
    if definition.resolves_workers:
        return 0
    return min(selection.from_sequence - 1, stream.last_sequence)


def last_position(partition: int, selection: Selection, until: Mapping[int, int] | None) -> int | None:
    """Where a partition's work ends; None for never."""
    ends = ((until or {}).get(partition), selection.of_partition(partition).to_sequence)
    return min((end for end in ends if end is not None), default=None)
