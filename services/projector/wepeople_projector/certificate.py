"""What a proof of the running system says: of the stream, the tables, each org's events and its month."""

from collections.abc import Iterator
from datetime import date, datetime

from pydantic import BaseModel

from wepeople_projector.counting import Month


class StreamProof(BaseModel):
    """A stream that was read from its first message on, for the partitions that it takes."""

    name: str
    partitions: list[int]
    identity: str
    last_sequence: int
    messages: int


class TableProof(BaseModel):
    """A table that a build from the stream made again, equal in every column: its rows, and the sum of their hashes."""

    table: str
    rows: int
    digest: str


class OrgProof(BaseModel):
    """An org's events by count. Of those `accepted` in the stream, `repeated` are kept out by an earlier one of the
    same name, `aside` were parked or skipped, and `dropped` are older than the timeline is kept; the rest is in it.
    """

    org_id: str
    accepted: int
    repeated: int
    aside: int
    dropped: int
    timeline: int
    month: Month

    @property
    def events(self) -> int:
        """How many events there must be."""
        return self.accepted - self.repeated - self.aside - self.dropped


class Certificate(BaseModel):
    """Everything; `difference` is the first thing that is not as the stream says, None when there is none.

    `positions` are those of the partitions at the moment that was proved; of tables that are named in `kept_from`,
    nothing before that day was there, nor made to be compared.
    """

    issued_at: datetime
    streams: list[StreamProof]
    projection: str
    positions: dict[int, int]
    kept_from: dict[str, date] = {}
    tables: list[TableProof] = []
    orgs: list[OrgProof] = []
    difference: str | None = None


def differences(orgs: list[OrgProof]) -> Iterator[str]:
    """What does not add up, in words."""
    for org in orgs:
        if org.timeline != org.events:
            yield f"org {org.org_id}: the stream has {org.events:,} events, the timeline {org.timeline:,}"
        month = org.month
        if not month.equal:
            yield (
                f"org {org.org_id}: the stream charges {month.charged:,} events to {month.period}, but quota says "
                f"{month.used:,}"
            )
