"""Which part of the stream a projection's handlers are given; everything unless something is said."""

from msgspec import Struct


class Selection(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Sequences are inclusive; an empty tuple means all.

    It limits what handlers see, not what is read: whom a row is about depends on everything before it, so a projection
    that resolves workers reads its orgs' history from the start, and gives every worker the id that is the worker's
    everywhere.
    """

    from_sequence: int = 1
    to_sequence: int | None = None
    org_ids: tuple[str, ...] = ()
    app_ids: tuple[str, ...] = ()
    event_types: tuple[str, ...] = ()
