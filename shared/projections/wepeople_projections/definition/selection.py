"""Which part of the stream a projection's handlers are given; everything unless something is said."""

from msgspec import Struct
from msgspec.structs import replace


class Selection(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Sequences are inclusive; an empty tuple means all. Where a time was chosen of several streams, which number their
    messages each by itself, `from_sequences` and `to_sequences` say for each partition what it means.

    It limits what handlers see, not what is read: whom a row is about depends on everything before it, so a projection
    that resolves workers reads its orgs' history from the start, and gives every worker the id that is the worker's
    everywhere.
    """

    from_sequence: int = 1
    to_sequence: int | None = None
    from_sequences: dict[int, int] = {}
    to_sequences: dict[int, int] = {}
    org_ids: tuple[str, ...] = ()
    app_ids: tuple[str, ...] = ()
    event_types: tuple[str, ...] = ()

    @property
    def ends(self) -> bool:
        """Whether there is an end to it."""
        return self.to_sequence is not None or bool(self.to_sequences)

    def of_partition(self, partition: int) -> "Selection":
        """The same, in the sequences of one partition."""
        if not self.from_sequences and not self.to_sequences:
            return self
        return replace(
            self,
            from_sequence=self.from_sequences.get(partition, self.from_sequence),
            to_sequence=self.to_sequences.get(partition, self.to_sequence),
            from_sequences={},
            to_sequences={},
        )

    def takes_org(self, org_id: str) -> bool:
        """Whether an org is in it. Nothing of another one's history matters, not even who is who."""
        return not self.org_ids or org_id in self.org_ids

    def takes_message(self, sequence: int, app_id: str | None) -> bool:
        """Whether a message stored there by an app (None: by the org's directory) is in it, if its org is."""
        if sequence < self.from_sequence or (self.to_sequence is not None and sequence > self.to_sequence):
            return False
        return app_id is None or not self.app_ids or app_id in self.app_ids

    def takes_type(self, event_type: str | None) -> bool:
        """Whether events of a type are in it; None stands for a snapshot, which has none."""
        if not self.event_types:
            return True
        return event_type is not None and any(matches(pattern, event_type) for pattern in self.event_types)


def matches(pattern: str, type_name: str) -> bool:
    """Whether a pattern (`deploy.shipped`, or `deploy.*` for all that begin so) means this type."""
    if pattern.endswith("*"):
        return type_name.startswith(pattern[:-1])
    return pattern == type_name
